"""The embedding class of LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.storage.kvstore.types import BaseKVStore
from pydantic import Field, PrivateAttr, SecretStr

from embedway_client import Client, environment

if TYPE_CHECKING:
    from embedway_client.deployment import EngineName, Invoke, PlatformName, Pooling

__all__ = ["EmbedwayEmbedding"]


class EmbedwayEmbedding(BaseEmbedding):
    """
    Embeds through an Embedway gateway, any server with OpenAI's contract, or in this process.

        EmbedwayEmbedding("minilm")  # the gateway on this machine
        EmbedwayEmbedding("minilm", base_url="https://…/v1", fallback="local")
        EmbedwayEmbedding("minilm", base_url="local")  # offline
        EmbedwayEmbedding.direct(model="minilm", url="https://…/ocid1…", credentials=signer)

    Texts and queries are told apart, so that a model's prompts are put before them. The
    embedding methods raise `TypeError` and `ValueError` for what is not text, and an
    `embedway_upstream.EmbeddingError` for what goes wrong on the way.

    `batch_size` and the framework's `embed_batch_size` are one setting. What `to_dict` gives has
    neither the API key nor the headers, which may hold secrets; `from_dict` takes the key from
    the environment.
    """

    model_name: str = Field(frozen=True)
    base_url: str = Field(frozen=True)
    api_key: SecretStr | None = Field(frozen=True, exclude=True, repr=False)
    dimensions: int | None = Field(frozen=True)
    timeout: float = Field(frozen=True)
    max_retries: int = Field(frozen=True)
    fallback: Literal["local"] | None = Field(frozen=True)
    vector_space: str | None = Field(frozen=True)
    default_headers: Mapping[str, str] = Field(frozen=True, exclude=True, repr=False)
    insecure: bool = Field(frozen=True)

    _client: Client = PrivateAttr()

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
        model_name: str | None = None,
        embed_batch_size: int | None = None,
        num_workers: int | None = 4,
        callback_manager: CallbackManager | None = None,
        embeddings_cache: BaseKVStore | None = None,
        rate_limiter: BaseRateLimiter | None = None,
    ) -> None:
        # `model_name` is what the framework calls it when it restores what `to_dict` gave.
        name = model or model_name or ""
        size = embed_batch_size or batch_size
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        key = key or environment.api_key()
        client = Client(
            name,
            base_url=base_url,
            api_key=key,
            dimensions=dimensions,
            batch_size=size,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            vector_space=vector_space,
            headers=default_headers,
            insecure=insecure,
        )
        fields = {
            "base_url": base_url or environment.base_url(),
            "api_key": None if key is None else SecretStr(key),
            "dimensions": dimensions,
            "timeout": timeout,
            "max_retries": max_retries,
            "fallback": fallback,
            "vector_space": vector_space,
            "default_headers": dict(default_headers or {}),
            "insecure": insecure,
        }
        super().__init__(
            model_name=name,
            embed_batch_size=size,
            num_workers=num_workers,
            callback_manager=callback_manager or CallbackManager([]),
            embeddings_cache=embeddings_cache,
            rate_limiter=rate_limiter,
            **fields,
        )
        self._client = client

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
            dimensions=dimensions,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            batch_size=batch_size,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            vector_space=vector_space,
            insecure=insecure,
        )
        return cls._over(
            cls.__new__(cls),
            client,
            model_name=model,
            embed_batch_size=batch_size,
            base_url=url,
            dimensions=dimensions,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            vector_space=vector_space,
            insecure=insecure,
        )

    def _over(self, client: Client, **fields: Any) -> Self:
        """Initialise, past our own constructor, which would connect to a gateway."""
        always: dict[str, Any] = {"num_workers": 4, "api_key": None, "default_headers": {}}
        BaseEmbedding.__init__(self, **{**always, **fields})
        self._client = client
        return self

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """What `from_dict` takes: no key, no headers, no credentials."""
        deployment = self._client.deployment
        more = {} if deployment is None else {"direct": deployment.shown()}
        return {**super().to_dict(**options), **more}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **more: Any) -> Self:
        """What `to_dict` was called on; give the `credentials=` of what `direct` had made."""
        if "direct" not in data:
            return super().from_dict(data, **more)
        kept = ("dimensions", "timeout", "max_retries", "fallback", "vector_space")
        return cls.direct(
            model=data["model_name"],
            batch_size=data["embed_batch_size"],
            **{name: data[name] for name in kept},
            **{**data["direct"], **more},
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if self._client.deployment is None:
            return super().__reduce_ex__(protocol)
        # The framework would leave out a client that cannot be pickled, and restore another.
        return _restored, (type(self), self._client, dict(self))

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy; with `update`, one that is checked and connects anew (not one of `direct`)."""
        if not update:
            return super().model_copy(deep=deep)
        if self._client.deployment is not None:
            raise TypeError("what direct() made is not changed in copying; call direct() again")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**fields, **update})

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

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._client.embed([query], input_type="query")[0].tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        vectors = await self._client.aembed([query], input_type="query")
        vector: list[float] = vectors[0].tolist()
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._client.embed(texts).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = (await self._client.aembed(texts)).tolist()
        return vectors


def _restored(
    kind: type[EmbedwayEmbedding], client: Client, fields: dict[str, Any]
) -> EmbedwayEmbedding:
    return kind._over(kind.__new__(kind), client, **fields)  # noqa: SLF001
