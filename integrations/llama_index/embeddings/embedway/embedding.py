"""The embedding class of LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from pydantic import SecretStr

from embedway_client import Client, environment
from llama_index.embeddings.embedway.calls import Calls
from llama_index.embeddings.embedway.option import EmbeddingAliases, understood

if TYPE_CHECKING:
    import httpx
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.rate_limiter import BaseRateLimiter
    from llama_index.core.storage.kvstore.types import BaseKVStore

    from embedway_client.deployment import EngineName, Invoke, PlatformName, Pooling
    from embedway_client.local import Precision
    from embedway_client.usage import OnUsage

__all__ = ["EmbedwayEmbedding"]


class EmbedwayEmbedding(Calls):
    """
    Embeds through an Embedway gateway, any server with OpenAI's contract, or in this process.

        EmbedwayEmbedding("minilm")  # the gateway on this machine
        EmbedwayEmbedding("minilm", base_url="https://…/v1", fallback="local")
        EmbedwayEmbedding("minilm", base_url="local")  # offline
        EmbedwayEmbedding.direct(model="minilm", url="https://…/ocid1…", credentials=signer)

    Texts and queries are told apart, so that a model's prompts are put before them. The
    embedding methods raise `TypeError` and `ValueError` for what is not text, and an
    `embedway_upstream.EmbeddingError` for what goes wrong on the way.

    `batch_size` is the framework's `embed_batch_size`, `max_concurrency` its `num_workers`; names
    that other classes have are understood too. What `to_dict` gives has neither the API key nor
    the headers, which may hold secrets; `from_dict` takes the key from the environment. Raises
    `TypeError` for a keyword that is not understood, `ValueError` for what cannot work.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        dimensions: int | None = None,
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        fallback: Literal["local"] | None = None,
        vector_space: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        insecure: bool = False,
        precision: Precision = "fp32",
        query_prompt: str = "",
        document_prompt: str = "",
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        callback_manager: CallbackManager | None = None,
        embeddings_cache: BaseKVStore | None = None,
        rate_limiter: BaseRateLimiter | None = None,
        **others: Unpack[EmbeddingAliases],
    ) -> None:
        own = {
            "model": model,
            "base_url": base_url,
            "api_key": api_key,
            "dimensions": dimensions,
            "batch_size": batch_size,
            "timeout": timeout,
            "max_retries": max_retries,
            "fallback": fallback,
            "vector_space": vector_space,
            "default_headers": default_headers,
            "insecure": insecure,
            "precision": precision,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "max_concurrency": max_concurrency,
            "on_usage": on_usage,
            "http_client": http_client,
            "http_async_client": http_async_client,
            "callback_manager": callback_manager,
            "embeddings_cache": embeddings_cache,
            "rate_limiter": rate_limiter,
        }
        given = understood(own, others, known=type(self).model_fields, owner=type(self).__name__)
        super().__init__(**{"api_key": environment.api_key(), **given})
        self._use(self._connected())

    def _connected(self) -> Client:
        key = self.api_key
        return Client(
            self.model_name,
            base_url=self.base_url,
            api_key=None if key is None else key.get_secret_value(),
            dimensions=self.dimensions,
            batch_size=self.embed_batch_size,
            timeout=self.timeout,
            max_retries=self.max_retries,
            fallback=self.fallback,
            precision=self.precision,
            vector_space=self.vector_space,
            headers=self.default_headers,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
            insecure=self.insecure,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            max_concurrency=self.num_workers or 1,
            on_usage=self.on_usage,
        )

    @classmethod
    def from_env(cls) -> Self:
        """
        One that is told by the environment: `EMBEDWAY_MODEL`, and every keyword that can be
        written as a text, as `EMBEDWAY_BATCH_SIZE` is for `batch_size`.
        """
        fields = (name for name, item in cls.model_fields.items() if not item.exclude)
        told = environment.keywords("model", "batch_size", "max_concurrency", "api_key", *fields)
        if not {"model", "model_name"} & told.keys():
            raise ValueError("EMBEDWAY_MODEL is not set; it names the model")
        # The framework's validation makes numbers of them.
        return cls(**told)  # type: ignore[arg-type]

    @classmethod
    def direct(
        cls,
        *,
        model: str,
        url: str,
        engine: EngineName = "tei",
        credentials: object = None,
        platform: PlatformName | None = None,
        invoke: Invoke = "predict",
        resource_group: str = "default",
        pooling: Pooling | None = None,
        path: str | None = None,
        served_model: str | None = None,
        dimensions: int | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        fallback: Literal["local"] | None = None,
        vector_space: str | None = None,
        insecure: bool = False,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
    ) -> Self:
        """
        One that signs and calls a deployment itself, with no gateway.

            EmbedwayEmbedding.direct(
                model="minilm", url="https://modeldeployment…/ocid1…", credentials=signer
            )

        `url`: the deployment's base, to which the engine's path is added (or `path`, if given).
        `engine`: "tei", "ovms", "onnx" (a `score.py`), "infinity", "vllm" or "openai".
        `credentials`: a signer of the `oci` SDK, `ads.common.auth.default_signer()`, credentials
        of embedway, a bearer token (also a `SecretStr`), or a service key of SAP AI Core. They
        are renewed before they expire, and once more after a 401. `platform`: "oci", "aicore" or
        "plain", by default seen from `url` and `credentials`. `invoke`: on OCI, how the path
        travels: not at all ("predict"), in a header ("route"), behind `/predict` ("suffix").
        `resource_group`: on AI Core. `pooling`: "cls" or "mean", for a `score.py` that does not
        pool. `served_model`: the name that the server expects, by default `model`. `dimensions`:
        of the model's vectors, checked on every reply. `query_prompt`, `document_prompt`: put
        before the texts. `batch_size`: never more is sent than the engine takes as it comes.
        `fallback`: needs `vector_space`, because a deployment does not tell its own. `insecure`:
        allow plain http to another machine. The others are those of the class.

        What `to_dict` gives has everything but the credentials, which `from_dict` takes as a
        keyword. It is pickled where its credentials can be, which signers cannot.

        Raises `ValueError` for settings that cannot work, `TypeError` for credentials that are
        not understood, `ImportError` where signing needs a package. Does no I/O.
        """
        told: dict[str, Any] = {
            "dimensions": dimensions,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "timeout": timeout,
            "max_retries": max_retries,
            "fallback": fallback,
            "vector_space": vector_space,
            "insecure": insecure,
            "http_client": http_client,
            "http_async_client": http_async_client,
            "on_usage": on_usage,
        }
        client = Client.direct(
            model=model,
            url=url,
            engine=engine,
            credentials=credentials,
            platform=platform,
            invoke=invoke,
            resource_group=resource_group,
            pooling=pooling,
            path=path,
            served_model=served_model,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            **told,
        )
        names = {"model_name": model, "embed_batch_size": batch_size}
        return cls._over(client, base_url=url, num_workers=max_concurrency, **names, **told)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **more: Any) -> Self:
        """What `to_dict` was called on; give the `credentials=` of what `direct` had made."""
        if "direct" not in data:
            return super().from_dict(data, **more)
        kept = ("dimensions", "timeout", "max_retries", "fallback", "vector_space")
        named = {"batch_size": data["embed_batch_size"], "max_concurrency": data["num_workers"]}
        told = {**{name: data[name] for name in kept}, **named, **data["direct"], **more}
        store = told.pop("embeddings_cache", None)
        made = cls.direct(model=data["model_name"], **told)
        made.embeddings_cache = store
        return made

    @classmethod
    def class_name(cls) -> str:
        """The name under which the framework stores this class."""
        return "EmbedwayEmbedding"

    @property
    def model(self) -> str:
        """The model's name; the framework calls it `model_name`."""
        return self.model_name

    @property
    def pinned_vector_space(self) -> str | None:
        """The fingerprint that vectors must have: as stated, else as it was first seen."""
        return self._client.vector_space

    def accept_vector_space(self, fingerprint: str | None = None) -> None:
        """
        Go on in another vector space, whose vectors cannot be compared with those of an index that
        was made before: in this one, or else in whichever the next answer is in.
        """
        self._client.accept_vector_space(fingerprint)
        self._cache.settled = None
