"""
Makes small random cross-encoders and the scores that sentence-transformers gives with them.

    python make_rerankers.py

needs what make_architectures.py needs, and `sentence-transformers` (6.2); writes a folder for each
under `rerankers/`, with the texts in pairs.json and the scores in expected.json.
"""

import json
from pathlib import Path

import torch
import transformers as t
from make_architectures import BERT_WORDS, IDS, LETTERS, ROBERTA_WORDS, SIZES, randomise, tokenizer
from sentence_transformers import CrossEncoder
from tokenizers.processors import TemplateProcessing

HERE = Path(__file__).parent / "rerankers"
LONGEST = 30
QUERIES = ["a b c", "", " ".join(LETTERS)]
DOCUMENTS = ["", "a", "c b a", " ".join(LETTERS), " ".join(LETTERS * 3), "unknown a", "z z z z"]


def pair_tokenizer(words: list[str], inputs: list[str]) -> t.PreTrainedTokenizerFast:
    made = tokenizer(words)
    first, pad = (1, 0) if words is BERT_WORDS else (0, 1)
    start, end = words[first], words[2]
    # The second text is of type 1 in tokenizer.json, which not every model takes.
    middle = end if words is BERT_WORDS else f"{end} {end}"
    made.post_processor = TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {middle} $B:1 {end}:1",
        special_tokens=[(start, first), (end, 2)],
    )
    return t.PreTrainedTokenizerFast(
        model_input_names=inputs,
        tokenizer_object=made,
        pad_token=words[pad],
        unk_token=words[3],
        model_max_length=LONGEST,
    )


def make(
    name: str,
    model: torch.nn.Module,
    words: list[str],
    inputs: list[str],
    activation: str | None = None,
) -> None:
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    randomise(model, 0.7)  # or the first token hardly sees the others
    if activation is not None:
        model.config.sentence_transformers = {"activation_fn": activation}
    model.save_pretrained(folder)
    tokens = pair_tokenizer(words, inputs)
    tokens.save_pretrained(folder)
    oracle = CrossEncoder(str(folder), device="cpu")
    pairs = [(query, document) for query in QUERIES for document in DOCUMENTS]
    scores = [float(oracle.predict([pair], show_progress_bar=False)[0]) for pair in pairs]
    together = oracle.predict(pairs, show_progress_bar=False)
    assert abs(together - scores).max() < 1e-5
    (folder / "expected.json").write_text(json.dumps(scores) + "\n", "ascii")


def main() -> None:
    torch.manual_seed(2)
    torch.set_num_threads(1)
    one = {"num_labels": 1}
    plain = ["input_ids", "attention_mask"]
    typed = [*plain, "token_type_ids"]
    make("bert", t.BertForSequenceClassification(t.BertConfig(**SIZES, **one)), BERT_WORDS, typed)
    make(
        "bert-identity",
        t.BertForSequenceClassification(t.BertConfig(**SIZES, **one)),
        BERT_WORDS,
        plain,
        "torch.nn.modules.linear.Identity",
    )
    roberta = t.XLMRobertaConfig(**SIZES, **one, type_vocab_size=1)
    untyped = t.XLMRobertaForSequenceClassification(roberta)
    make("xlm-roberta", untyped, ROBERTA_WORDS, plain)
    distil = t.DistilBertConfig(
        vocab_size=30, dim=32, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=40
    )
    distil.num_labels = 1
    make("distilbert", t.DistilBertForSequenceClassification(distil), BERT_WORDS, plain)
    mpnet = t.MPNetForSequenceClassification(t.MPNetConfig(**SIZES, **one))
    make("mpnet", mpnet, ROBERTA_WORDS, plain)
    modern = {**SIZES, **IDS, **one, "num_hidden_layers": 3, "local_attention": 8}
    ends = {"cls_token_id": 1, "sep_token_id": 2}
    mean = t.ModernBertConfig(**modern, **ends, classifier_pooling="mean")
    make("modernbert", t.ModernBertForSequenceClassification(mean), BERT_WORDS, plain)
    gte = t.GteForSequenceClassification(t.GteConfig(**SIZES, **one, type_vocab_size=2))
    make("gte", gte, BERT_WORDS, typed)
    (HERE / "pairs.json").write_text(
        json.dumps({"queries": QUERIES, "documents": DOCUMENTS}) + "\n", "ascii"
    )


if __name__ == "__main__":
    main()
