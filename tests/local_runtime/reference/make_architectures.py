"""
Makes small random checkpoints of the other architectures, and the vectors they should give.

    python make_architectures.py

needs `torch`, `transformers` (5.24), `tokenizers` and `safetensors`; writes a folder for each
checkpoint under `architectures/`, with the expected vectors of TEXTS for each pooling in
expected.npz.

The oracle is transformers' own model. It saves NomicBERT and GTE under their published names, or
its own, but with settings of its own. NomicBERT and GTE are also written under the names, and with
the settings, that nomic-ai and Alibaba-NLP publish, whose own code is not run here: the tensors are
renamed as transformers' `conversion_mapping.py` says, and GTE's fixed NTK scaling of the angles is
spelled out below as `NTKScalingRotaryEmbedding` of Alibaba-NLP's `modeling.py` has it.
"""

import copy
import json
from pathlib import Path

import numpy as np
import torch
import transformers as t
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

HERE = Path(__file__).parent / "architectures"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = ["", "a", "b c", " ".join(LETTERS), "a <pad> b", "q q q q q", " ".join((LETTERS * 6)[:150])]
POSITIONS = 160
SIZES = {
    "vocab_size": 30,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT_WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
ROBERTA_WORDS = ["<s>", "<pad>", "</s>", "<unk>"]


def tokenizer(special: list[str], single: str = "{} $A {}") -> Tokenizer:
    """Letters are words; `special` are the first tokens, the last of them the unknown one."""
    words = [*special, *LETTERS]
    made = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, special[-1]))
    made.pre_tokenizer = Whitespace()
    made.add_special_tokens(special)
    first = special[1] if special is BERT_WORDS else special[0]
    ends = [word for word in (first, special[2]) if word in single.format(first, special[2])]
    made.post_processor = TemplateProcessing(
        single=single.format(first, special[2]),
        special_tokens=[(word, words.index(word)) for word in ends],
    )
    return made


def randomise(model: torch.nn.Module, scale: float = 0.4) -> None:
    """Large enough that every part of the graph matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)


def write_expected(
    folder: Path, encoder: torch.nn.Module, tokens: Tokenizer, pad: int, texts: list[str] = TEXTS
) -> None:
    tokens.save(str(folder / "tokenizer.json"))
    rows: dict[str, list[np.ndarray]] = {"cls": [], "mean": [], "last": []}
    for text in texts:
        ids = tokens.encode(text).ids
        assert len(ids) <= POSITIONS - 2
        with torch.no_grad():
            hidden = encoder(torch.tensor([ids])).last_hidden_state[0].double()
        require_padding_is_nothing(encoder, ids, hidden, pad)
        for pooling, vector in {
            "cls": hidden[0],
            "mean": hidden.mean(0),
            "last": hidden[-1],
        }.items():
            rows[pooling].append(torch.nn.functional.normalize(vector, dim=0).numpy())
    arrays = {key: np.array(value, dtype=np.float32) for key, value in rows.items()}
    np.savez(folder / "expected.npz", **arrays)
    (folder / "texts.json").write_text(json.dumps(texts) + "\n", "ascii")


def require_padding_is_nothing(
    encoder: torch.nn.Module, ids: list[int], hidden: torch.Tensor, pad: int
) -> None:
    """The oracle itself must give the same for a padded text, on either side where it may be."""
    for left in (0, 3) if isinstance(encoder, t.Qwen3Model) else (0,):
        row = [pad] * left + ids + [pad] * 4
        mask = [0] * left + [1] * len(ids) + [0] * 4
        places = torch.tensor([[0] * left + list(range(len(ids) + 4))])
        extra = {"position_ids": places} if left else {}
        with torch.no_grad():
            padded = encoder(torch.tensor([row]), attention_mask=torch.tensor([mask]), **extra)
        found = padded.last_hidden_state[0, left : left + len(ids)].double()
        assert (found - hidden).abs().max() < 2e-4


def make(
    name: str,
    model: torch.nn.Module,
    inner: str = "",
    *,
    words: list[str] = BERT_WORDS,
    half: bool = False,
    original: bool = True,
) -> None:
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    randomise(model)
    if half:  # as the large models are published; the angles stay in single precision
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16().float())
        copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    else:
        model.save_pretrained(folder, save_original_format=original)
    encoder = getattr(model, inner) if inner else model
    single = "$A {1}" if isinstance(encoder, t.Qwen3Model) else "{} $A {}"
    write_expected(
        folder,
        encoder,
        tokenizer(words, single),
        words.index("[PAD]" if words is BERT_WORDS else "<pad>"),
    )


def published(folder: Path, state: dict[str, torch.Tensor], config: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "ascii")


def nomic_as_published() -> None:
    """Under the names of nomic-ai/nomic-embed-text-v1.5, and with its settings."""
    model = t.NomicBertModel(
        t.NomicBertConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 50.0})
    ).eval()
    randomise(model)
    old, state = {}, model.state_dict()
    for key, value in state.items():
        name = key.replace("layers.", "encoder.layers.").replace("embeddings.LayerNorm", "emb_ln")
        for new, published_name in {
            "self_attn.o_proj": "attn.out_proj",
            "up_proj": "fc11",
            "gate_proj": "fc12",
            "down_proj": "fc2",
            "post_attention_layernorm": "norm1",
            "post_mlp_layernorm": "norm2",
        }.items():
            name = name.replace(new, published_name)
        if "self_attn.q_proj" in name:
            parts = [state[key.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            old[name.replace("self_attn.q_proj", "attn.Wqkv")] = torch.cat(parts)
        elif "self_attn" not in name:
            old[name] = value
    config = {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "causal": False,
        "layer_norm_epsilon": 1e-12,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "model_type": "nomic_bert",
        "n_embd": 32,
        "n_head": 4,
        "n_inner": 24,
        "n_layer": 2,
        "n_positions": POSITIONS,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": 50,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "type_vocab_size": 2,
        "use_rms_norm": False,
        "vocab_size": 30,
    }
    folder = HERE / "nomic-published"
    published(folder, old, config)
    write_expected(folder, model, tokenizer(BERT_WORDS), 0)


def gte_as_published() -> None:
    """Under the names of Alibaba-NLP/gte-base-en-v1.5, with its NTK scaling and no token types."""
    base, factor, size = 60.0, 2.0, 8
    model = t.GteModel(t.GteConfig(**SIZES, type_vocab_size=0)).eval()
    randomise(model)
    rates = 1.0 / ((base * factor) ** (torch.arange(0, size, 2).float() / size))
    model.rotary_emb.inv_freq.copy_(rates / factor ** (2 / size))
    old, state = {}, model.state_dict()
    for key, value in state.items():
        name = "new." + key.replace("layers.", "encoder.layer.")
        for new, published_name in {
            "self_attn.o_proj": "attention.o_proj",
            "post_attention_layernorm": "attn_ln",
            "post_mlp_layernorm": "mlp_ln",
        }.items():
            name = name.replace(new, published_name)
        if "self_attn.q_proj" in name:
            parts = [state[key.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            old[name.replace("self_attn.q_proj", "attention.qkv_proj")] = torch.cat(parts)
        elif "up_proj" in name:
            parts = [value, state[key.replace("up_proj", "gate_proj")]]
            old[name.replace("up_proj", "up_gate_proj")] = torch.cat(parts)
        elif "self_attn" not in name and "gate_proj" not in name:
            old[name] = value
    config = {
        **SIZES,
        "architectures": ["NewModel"],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "layer_norm_type": "layer_norm",
        "logn_attention_scale": False,
        "model_type": "new",
        "pack_qkv": True,
        "pad_token_id": 0,
        "position_embedding_type": "rope",
        "rope_scaling": {"factor": factor, "type": "ntk"},
        "rope_theta": base,
        "type_vocab_size": 0,
    }
    folder = HERE / "gte-published"
    published(folder, old, config)
    write_expected(folder, model, tokenizer(BERT_WORDS), 0)


def main() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    roberta = {**SIZES, "type_vocab_size": 1}
    plain = t.RobertaModel(t.RobertaConfig(**roberta), add_pooling_layer=False)
    make("roberta", plain, words=ROBERTA_WORDS)
    headed = t.XLMRobertaForMaskedLM(t.XLMRobertaConfig(**roberta))
    make("xlm-roberta-with-head", headed, "roberta", words=ROBERTA_WORDS)
    distil = {
        "vocab_size": 30,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 24,
        "max_position_embeddings": POSITIONS,
    }
    make("distilbert", t.DistilBertModel(t.DistilBertConfig(**distil)))
    relu = t.DistilBertConfig(**distil, activation="relu")
    make("distilbert-with-head", t.DistilBertForMaskedLM(relu), "distilbert")
    mpnet = t.MPNetModel(t.MPNetConfig(**SIZES), add_pooling_layer=False)
    make("mpnet", mpnet, words=ROBERTA_WORDS)
    modern = {**SIZES, **IDS, "num_hidden_layers": 4, "local_attention": 8, "cls_token_id": 1}
    thetas = {
        "full_attention": {"rope_type": "default", "rope_theta": 200.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    }
    make("modernbert", t.ModernBertModel(t.ModernBertConfig(**modern, rope_parameters=thetas)))
    biased = t.ModernBertConfig(**modern, norm_bias=True, attention_bias=True, mlp_bias=True)
    make("modernbert-with-head", t.ModernBertForMaskedLM(biased), "model")
    angles = {"rope_type": "default", "rope_theta": 50.0}
    make("nomic", t.NomicBertModel(t.NomicBertConfig(**SIZES, rope_parameters=angles)))
    make("nomic-native", t.NomicBertModel(t.NomicBertConfig(**SIZES)), original=False)
    nomic_as_published()
    qwen = {
        **SIZES,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "rope_parameters": angles,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "bos_token_id": 1,
    }
    make("qwen3", t.Qwen3Model(t.Qwen3Config(**qwen)), half=True)
    make("gte", t.GteModel(t.GteConfig(**SIZES, rope_parameters=angles, pad_token_id=0)))
    make("gte-native", t.GteModel(t.GteConfig(**SIZES)), original=False)
    gte_as_published()


if __name__ == "__main__":
    main()
