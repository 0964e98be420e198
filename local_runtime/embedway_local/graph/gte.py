"""Reads the settings of GTE ("new"), as Alibaba-NLP publishes them and as transformers does."""

from __future__ import annotations

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.block import Heads, activation
from embedway_local.graph.gated import Gated, Names
from embedway_local.graph.rotary import Rotary, read_rotary, scaled
from embedway_local.setting import Settings

__all__ = ["Gte"]

_NAMES = Names(
    layer="encoder.layer",
    embedding_norm="embeddings.LayerNorm",
    attention=("attention.qkv_proj",),
    out="attention.o_proj",
    attention_norm="attn_ln",
    wide=("mlp.up_gate_proj",),
    narrow="mlp.down_proj",
    final_norm="mlp_ln",
)
# Settings of Alibaba-NLP's own code that change the graph, unless they have this value.
_PLAIN: dict[str, object] = {
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "pack_qkv": True,
    "position_embedding_type": "rope",
}


class Gte:
    """Two ways to name the same model."""

    @classmethod
    def read(cls, config: Settings) -> Gated:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        # Snowflake's copy is of type `gte` with the published settings.
        published = "pack_qkv" in config.values or config.text("model_type") == "new"
        if published:
            for key, plain in _PLAIN.items():
                if config.values.get(key, plain) != plain:
                    raise ModelUnsupported(
                        f"{config.source}: GTE with {key} {config.values[key]!r} is not supported"
                    )
        hidden = config.number("hidden_size")
        heads = Heads.of(config, hidden, config.number("num_attention_heads"))
        positions = config.number("max_position_embeddings")
        return Gated(
            published=_NAMES,
            hidden=hidden,
            heads=heads,
            layers=config.number("num_hidden_layers"),
            inner=config.number("intermediate_size"),
            types=config.count("type_vocab_size", default=1),
            epsilon=config.real("layer_norm_eps", default=1e-12),
            activation=activation(config, "hidden_act", default="gelu"),
            rotary=(
                _published_rotary(config, size=heads.size, positions=positions)
                if published and config.values.get("rope_parameters") is None
                else read_rotary(config, size=heads.size, positions=positions, default=160_000)
            ),
            attention_bias=True,
            wide_bias=False,
            narrow_bias=True,
        )


def _published_rotary(config: Settings, *, size: int, positions: int) -> Rotary:
    """Plain, or with the fixed NTK scaling, which holds whatever the length of the text."""
    base = config.real("rope_theta", default=10_000)
    stated = config.values.get("rope_scaling")
    if not scaled(stated):
        return Rotary(base=base, size=size, positions=positions)
    if not isinstance(stated, dict):
        raise ModelCorrupt(f"{config.source}: 'rope_scaling' is not an object")
    if stated.get("type") != "ntk" or stated.get("mixed_b") is not None:
        raise ModelUnsupported(f"{config.source}: rope_scaling {stated} is not supported")
    factor = Settings(stated, f"{config.source}: rope_scaling").real("factor", default=0)
    if factor <= 1:
        # Their code then leaves the angles as they are; nobody publishes that.
        raise ModelUnsupported(f"{config.source}: a rope_scaling factor of {factor}")
    return Rotary(base=base, size=size, positions=positions, factor=factor)
