"""What an embedding of ours is told, beside what the framework tells every embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore.types import BaseKVStore
from pydantic import ConfigDict, Field, SecretStr

from embedway_client import environment
from llama_index.embeddings.embedway.travel import Travels

__all__ = ["Fields"]


class Fields(Travels, BaseEmbedding):
    """Those that can be written as a text are stored; the others stay with the object."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model_name: str = Field(default="", frozen=True)
    """As the server names it; with `base_url="local"`, a name on the hub or a folder."""
    base_url: str = Field(default_factory=environment.base_url, frozen=True)
    """Where `/embeddings` is; "local" for this process. By default `EMBEDWAY_BASE_URL`."""
    api_key: SecretStr | None = Field(default=None, frozen=True, exclude=True, repr=False)
    """By default `EMBEDWAY_API_KEY`."""
    dimensions: int | None = Field(default=None, frozen=True)
    """Of the vectors, where the model can give shorter ones."""
    embed_batch_size: int = Field(default=256, ge=1, le=2048)
    """Texts in one request."""
    num_workers: int | None = Field(default=4, ge=1)
    """Requests of one async call at once."""
    timeout: float = Field(default=60.0, frozen=True)
    """Seconds for one attempt."""
    max_retries: int = Field(default=2, frozen=True)
    """Further attempts after connection failures, timeouts, 429 and 5xx."""
    fallback: Literal["local"] | None = Field(default=None, frozen=True)
    """ "local": embed in this process while the server is out of reach, in the same space only."""
    precision: Literal["fp32", "bf16", "fp16", "int8", "auto"] = Field(default="fp32", frozen=True)
    """Of a model in this process."""
    vector_space: str | None = Field(default=None, frozen=True)
    """The fingerprint that vectors must have; by default the first one seen."""
    query_prompt: str = Field(default="", frozen=True)
    """Put before queries; a gateway of ours does that itself, and refuses to have it done."""
    document_prompt: str = Field(default="", frozen=True)
    """Put before texts."""
    default_headers: Mapping[str, str] = Field(
        default_factory=dict, frozen=True, exclude=True, repr=False
    )
    """Sent with every request."""
    insecure: bool = Field(default=False, frozen=True)
    """Send the API key over plain http beyond this machine."""
    embeddings_cache: BaseKVStore | None = Field(default=None, exclude=True, repr=False)
    """Of vectors; models may share one."""
    on_usage: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """Called with an `embedway_client.UsageEvent` after every call that succeeded."""
    http_client: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """An `httpx.Client` to use instead of one of ours; never closed here."""
    http_async_client: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """The same for async calls."""
