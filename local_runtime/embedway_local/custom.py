"""Recognises a model that its authors run with code of their own, which is never run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_local.setting import Settings

__all__ = ["custom_class"]

# How transformers' own classes of an architecture begin, and end.
_OWN = {
    "bert": "Bert",
    "camembert": "Camembert",
    "distilbert": "DistilBert",
    "modernbert": "ModernBert",
    "mpnet": "MPNet",
    "qwen3": "Qwen3",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
}
_ENDS = (
    "Model",
    "ForCausalLM",
    "ForMaskedLM",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
    "ForPreTraining",
    "ForQuestionAnswering",
    "ForSequenceClassification",
    "ForTokenClassification",
)
# Published with their authors' code, which is what their graphs here were written from.
_WRITTEN_FROM_CODE = {"gte", "new", "nomic_bert"}


def custom_class(config: Settings) -> str | None:
    """
    The class that a `config.json` has the model run by, where it is of the authors' own.

    None where none is named, where transformers has it too, and of architectures whose graph is
    that code's. Such a class may compute anything, whatever `model_type` says.
    """
    kind, mapped = config.values.get("model_type"), config.values.get("auto_map")
    if not isinstance(mapped, dict) or kind in _WRITTEN_FROM_CODE:
        return None
    begin = _OWN.get(kind) if isinstance(kind, str) else None
    own = {f"{begin}{end}" for end in _ENDS} if begin is not None else set()
    for key, value in mapped.items():
        if key.startswith("AutoModel") and str(value).rpartition(".")[2] not in own:
            return str(value)[:200]
    return None
