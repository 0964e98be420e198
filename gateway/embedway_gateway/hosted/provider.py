"""What the providers behind LiteLLM differ in: how they are told a query from a document, how much
they take at once, and where LiteLLM's reading of a text or of a reply cannot be trusted.

A row holds for a provider (what stands before the first "/") and the models that its pattern finds;
the first that holds counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from embedway_upstream import InputType

__all__ = [
    "Words",
    "encoding",
    "most_documents",
    "most_inputs",
    "reads_as_file",
    "require",
    "words",
]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Words:
    """The parameter that tells a query from a document, and the provider's words for the two."""

    parameter: str
    query: str
    document: str

    def told(self, input_type: InputType) -> dict[str, str]:
        """The parameter as it is sent."""
        return {self.parameter: self.query if input_type == "query" else self.document}


@dataclass(frozen=True, slots=True)
class _Row(Generic[Value]):
    provider: str
    value: Value
    models: str = ""


_SEARCH = Words("input_type", "search_query", "search_document")
_TASK = Words("task_type", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT")

_WORDS = (
    # docs.cohere.com/v2/reference/embed; LiteLLM sends "search_document" where nothing is said.
    _Row("cohere", _SEARCH),
    # docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
    _Row("bedrock", _SEARCH, r"cohere\.embed"),
    # learn.microsoft.com/rest/api/aifoundry/model-inference, EmbeddingInputType
    _Row("azure_ai", Words("input_type", "query", "document"), r"cohere"),
    # docs.voyageai.com/reference/embeddings-api
    _Row("voyage", Words("input_type", "query", "document")),
    # docs.nvidia.com/nim/nemo-retriever/text-embedding/latest/reference.html
    _Row("nvidia_nim", Words("input_type", "query", "passage")),
    # api.jina.ai/redoc: only these have tasks of these names.
    _Row("jina_ai", Words("task", "retrieval.query", "retrieval.passage"), r"embeddings-v[34]"),
    # ai.google.dev/gemini-api/docs/embeddings: gemini-embedding-2 takes the task in the text.
    _Row("gemini", _TASK, r"gemini-embedding-001|text-embedding-004"),
    # cloud.google.com/vertex-ai/generative-ai/docs/embeddings/task-types
    _Row("vertex_ai", _TASK, r"gemini-embedding-001|text-(multilingual-)?embedding-00"),
)

_INPUTS = (
    # platform.openai.com/docs/api-reference/embeddings/create
    _Row("openai", 2048),
    _Row("azure", 2048),
    # docs.cohere.com/v2/reference/embed
    _Row("cohere", 96),
    _Row("azure_ai", 96, r"cohere"),
    _Row("bedrock", 96, r"cohere\.embed"),
    # The others of Bedrock take one text a call: LiteLLM sends them one after the other.
    _Row("bedrock", 1),
    # docs.voyageai.com/reference/embeddings-api
    _Row("voyage", 1000),
    # ai.google.dev/api/embeddings, batchEmbedContents
    _Row("gemini", 100),
    # cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api: 250, but
    # one for the Gemini models (for the newest, LiteLLM makes one vector of all texts).
    _Row("vertex_ai", 1, r"gemini"),
    _Row("vertex_ai", 250),
)

_DOCUMENTS = (
    # docs.cohere.com/v2/reference/rerank, docs.voyageai.com/reference/reranker-api
    _Row("cohere", 1000),
    _Row("voyage", 1000),
    # docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html
    _Row("bedrock", 1000),
)

# Said outright where LiteLLM would send null (OpenAI's dialect), or nothing to an API that wants it
# said (Cohere's). Base64 it reads with warnings that quote the vectors.
_FLOAT = frozenset({"cohere", "litellm_proxy", "nvidia_nim", "openai", "together_ai"})

# How a text begins that LiteLLM takes for a picture, or for the address of one: its functions
# is_base64_encoded, _is_multimodal_input, and the transformations of Nova and Marengo.
_DATA = re.compile(r"data:[^,]*,[A-Za-z0-9+/]*={0,2}(?:,|\Z)")
_GOOGLE = re.compile(r"data:[\s\S]*;base64,|gs://|files/")
_FILES = (
    _Row("azure_ai", _DATA),
    _Row("bedrock", re.compile(r"data:|s3://"), r"nova|twelvelabs|marengo"),
    _Row("bedrock", _DATA),
    _Row("cohere", _DATA),
    _Row("gemini", _GOOGLE),
    _Row("jina_ai", _DATA),
    _Row("vertex_ai", _GOOGLE),
)

_REFUSED = (
    _Row(
        "huggingface",
        "LiteLLM takes the first token's vector where a model does not pool; use engine tei, with "
        "the endpoint's url",
    ),
    _Row("vertex_ai", "LiteLLM sends pictures and texts of one request together", r"multimodal"),
)


def require(model: str) -> None:
    """Raise `ValueError` unless it is a `provider/model` whose vectors can be trusted."""
    provider, _, name = model.partition("/")
    if not provider or not name:
        raise ValueError(
            "model must be as LiteLLM names it: provider/model, like cohere/embed-english-v3.0"
        )
    why = _found(_REFUSED, model)
    if why is not None:
        raise ValueError(f"engine litellm does not serve {model}: {why}")


def words(model: str) -> Words | None:
    """How the provider is told a query from a document; None where it is not."""
    return _found(_WORDS, model)


def most_inputs(model: str) -> int | None:
    """How many texts the provider takes at once; None where it is not known."""
    return _found(_INPUTS, model)


def most_documents(model: str) -> int | None:
    """How many documents the provider reranks at once; None where it is not known."""
    return _found(_DOCUMENTS, model)


def encoding(model: str) -> dict[str, str]:
    """The `encoding_format` that is sent, if any."""
    return {"encoding_format": "float"} if _provider(model) in _FLOAT else {}


def reads_as_file(model: str, text: str) -> bool:
    """Whether LiteLLM would embed what the text is the address or the content of."""
    file = _found(_FILES, model)
    return file is not None and file.match(text) is not None


def _found(rows: Sequence[_Row[Value]], model: str) -> Value | None:
    for row in rows:
        if row.provider == _provider(model) and re.search(row.models, model, re.IGNORECASE):
            return row.value
    return None


def _provider(model: str) -> str:
    return model.partition("/")[0]
