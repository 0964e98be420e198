"""Reads NomicBERT's settings, as nomic-ai publishes them and as transformers writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_local.error import ModelUnsupported
from embedway_local.graph.block import Heads, activation
from embedway_local.graph.gated import Gated, Names
from embedway_local.graph.rotary import Rotary, read_rotary

if TYPE_CHECKING:
    from embedway_local.setting import Settings

__all__ = ["Nomic"]

_NAMES = Names(
    layer="encoder.layers",
    embedding_norm="emb_ln",
    attention=("attn.Wqkv",),
    out="attn.out_proj",
    attention_norm="norm1",
    wide=("mlp.fc11", "mlp.fc12"),
    narrow="mlp.fc2",
    final_norm="norm2",
)
_GATES = {"swiglu": "silu", "geglu": "gelu"}
# Settings of nomic-ai's own code that change the graph, unless they have one of these values.
_PLAIN: dict[str, tuple[object, ...]] = {
    "causal": (False,),
    "moe_every_n_layers": (0, None),
    "parallel_block": (False,),
    "prenorm": (False,),
    "rotary_emb_fraction": (1,),
    "rotary_emb_interleaved": (False,),
    "rotary_emb_scale_base": (None,),
    "rotary_scaling_factor": (None,),
    "use_rms_norm": (False, None),
}


class Nomic:
    """Two ways to name the same model."""

    @classmethod
    def read(cls, config: Settings) -> Gated:
        """
        Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ.

        The settings on the hub have been given the new names beside the old ones.
        """
        for key, plain in _PLAIN.items():
            if config.values.get(key, plain[0]) not in plain:
                raise ModelUnsupported(
                    f"{config.source}: NomicBERT with {key} {config.values[key]!r} is not supported"
                )
        return _published(config) if "n_embd" in config.values else _native(config)


def _published(config: Settings) -> Gated:
    gate = config.text("activation_function")
    if gate not in _GATES:
        raise ModelUnsupported(f"{config.source}: NomicBERT without a gate ({gate!r})")
    hidden, count = config.number("n_embd"), config.number("n_head")
    inner = config.values.get("n_inner")
    heads = Heads.of(config, hidden, count)
    return Gated(
        published=_NAMES,
        hidden=hidden,
        heads=heads,
        layers=config.number("n_layer"),
        inner=4 * hidden if inner is None else config.number("n_inner"),
        types=config.count("type_vocab_size"),
        epsilon=config.real("layer_norm_epsilon", default=1e-5),
        activation=_GATES[gate],
        rotary=_rotary(config, size=heads.size),
        attention_bias=config.flag("qkv_proj_bias", default=True),
        wide_bias=config.flag("mlp_fc1_bias", default=True),
        narrow_bias=config.flag("mlp_fc2_bias", default=True),
    )


def _native(config: Settings) -> Gated:
    hidden = config.number("hidden_size")
    heads = Heads.of(config, hidden, config.number("num_attention_heads"))
    if config.values.get("head_dim") not in (None, heads.size):
        raise ModelUnsupported(f"{config.source}: heads of another size than hidden_size says")
    return Gated(
        published=_NAMES,
        hidden=hidden,
        heads=heads,
        layers=config.number("num_hidden_layers"),
        inner=config.number("intermediate_size"),
        types=config.count("type_vocab_size", default=2),
        epsilon=config.real("layer_norm_eps", default=1e-12),
        activation=activation(config, "hidden_act", default="silu"),
        rotary=_rotary(config, size=heads.size),
        attention_bias=False,
        wide_bias=False,
        narrow_bias=False,
    )


def _rotary(config: Settings, *, size: int) -> Rotary:
    """The angles under the old name, the new one, or both where they agree."""
    both = ("n_positions", "max_position_embeddings")
    positions = config.number(next((key for key in both if key in config.values), both[1]))
    if "rotary_emb_base" not in config.values:
        return read_rotary(config, size=size, positions=positions, default=1000)
    base = config.real("rotary_emb_base", default=0)
    other = read_rotary(config, size=size, positions=positions, default=base)
    if other.base != base:
        raise ModelUnsupported(f"{config.source}: rotary_emb_base {base}, but theta {other.base}")
    return other
