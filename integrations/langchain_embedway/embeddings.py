"""The embeddings class of LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from embedway_client import environment
from langchain_embedway.namespace import namespace
from langchain_embedway.option import APIKey, BaseURL, understood
from langchain_embedway.progress import progress_bar
from langchain_embedway.sharing import AsyncHTTPClient, HTTPClient, OnUsage, Shares

if TYPE_CHECKING:
    from embedway_client import Client
    from embedway_client.deployment import EngineName, Invoke, PlatformName, Pooling

__all__ = ["EmbedwayEmbeddings"]


class EmbedwayEmbeddings(Shares, Embeddings):
    """
    Embeds through an Embedway gateway, any server with OpenAI's contract, or in this process.

        EmbedwayEmbeddings(model="minilm")  # the gateway on this machine
        EmbedwayEmbeddings(model="minilm", base_url="https://…/v1", fallback="local")
        EmbedwayEmbeddings(model="minilm", base_url="local")  # offline
        EmbedwayEmbeddings.direct(model="minilm", url="https://…/ocid1…", credentials=signer)

    Documents and queries are told apart, so that a model's prompts are put before them. The
    embedding methods raise `TypeError` and `ValueError` for what is not text, and an
    `embedway_upstream.EmbeddingError` for what goes wrong on the way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str
    """As the server names it; with `base_url="local"`, a name on the hub or a folder."""
    base_url: BaseURL = Field(default_factory=environment.base_url)
    """Where `/embeddings` is; "local" for this process. By default `EMBEDWAY_BASE_URL`."""
    api_key: APIKey = Field(default=None, validate_default=True)
    """By default `EMBEDWAY_API_KEY`."""
    dimensions: int | None = None
    """Of the vectors, where the model can give shorter ones."""
    batch_size: int = 256
    """Texts in one request."""
    timeout: float = 60.0
    """Seconds for one attempt."""
    max_retries: int = 2
    """Further attempts after connection failures, timeouts, 429 and 5xx."""
    fallback: Literal["local"] | None = None
    """ "local": embed in this process while the server is out of reach, in the same space only."""
    vector_space: str | None = None
    """The fingerprint that vectors must have; by default the first one seen."""
    default_headers: Mapping[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """Sent with every request."""
    insecure: bool = False
    """Send the API key over plain http beyond this machine."""
    precision: Literal["fp32", "bf16", "fp16", "int8", "auto"] = "fp32"
    """Of a model in this process."""
    query_prompt: str = ""
    """Put before queries; a gateway of ours does that itself, and refuses to have it done."""
    document_prompt: str = ""
    """Put before documents."""
    max_concurrency: int = 4
    """Requests of one async call at once."""
    show_progress_bar: bool = False
    """While documents are embedded; needs tqdm."""

    _client: Client = PrivateAttr()

    @classmethod
    def from_env(cls) -> Self:
        """
        One that is told by the environment: `EMBEDWAY_MODEL`, and every keyword that can be
        written as a text, as `EMBEDWAY_BATCH_SIZE` is for `batch_size`.
        """
        told = environment.keywords(*cls.in_words())
        if "model" not in told:
            raise ValueError("EMBEDWAY_MODEL is not set; it names the model")
        return cls.model_validate(told)

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
        http_client: HTTPClient | None = None,
        http_async_client: AsyncHTTPClient | None = None,
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
    ) -> Self:
        """
        One that signs and calls a deployment itself, with no gateway.

            EmbedwayEmbeddings.direct(
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

        It is pickled where its credentials can be, which signers cannot.

        Raises `ValueError` for settings that cannot work, `TypeError` for credentials that are
        not understood, `ImportError` where signing needs a package. Does no I/O.
        """
        from embedway_client import Client

        both: dict[str, Any] = {
            "dimensions": dimensions,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "batch_size": batch_size,
            "timeout": timeout,
            "max_retries": max_retries,
            "fallback": fallback,
            "vector_space": vector_space,
            "insecure": insecure,
            "http_client": http_client,
            "http_async_client": http_async_client,
            "max_concurrency": max_concurrency,
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
            **both,
        )
        # Not validated: that would connect to a gateway. The client has checked every value.
        made = cls.model_construct(model=model, base_url=url, api_key=None, **both)
        return cls._over(made, client)

    def _over(self, client: Client) -> Self:
        self._client = client
        return self

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

    def cache_namespace(self) -> str:
        """
        A name for what is stored of these vectors, as `CacheBackedEmbeddings` wants one: another
        for every vector space. Embeds a text to learn the space, unless it is known already.
        """
        more = (self.dimensions, self.query_prompt, self.document_prompt)
        return namespace(self._client, (self.base_url, self.model), more)

    def embed_documents(self, texts: list[str], chunk_size: int | None = None) -> list[list[float]]:
        """One vector a text, in their order; `chunk_size` is this call's `batch_size`."""
        with progress_bar(texts, shown=self.show_progress_bar) as progress:
            done = self._client.encode(texts, batch_size=chunk_size, progress=progress)
        vectors: list[list[float]] = done.vectors.tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        vector: list[float] = self._client.embed([text], input_type="query")[0].tolist()
        return vector

    async def aembed_documents(
        self, texts: list[str], chunk_size: int | None = None
    ) -> list[list[float]]:
        """Like `embed_documents`, with up to `max_concurrency` requests at once."""
        with progress_bar(texts, shown=self.show_progress_bar) as progress:
            done = await self._client.aencode(texts, batch_size=chunk_size, progress=progress)
        vectors: list[list[float]] = done.vectors.tolist()
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, without blocking the event loop."""
        vectors = await self._client.aembed([text], input_type="query")
        vector: list[float] = vectors[0].tolist()
        return vector

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy; with `update`, one that is validated and connects anew (not one of `direct`)."""
        if not update:
            return super().model_copy(deep=deep)
        if self._client.deployment is not None:
            raise TypeError("what direct() made is not changed in copying; call direct() again")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **self._understood(update)})

    @classmethod
    def _understood(cls, given: Mapping[str, object]) -> dict[str, object]:
        return understood(given, known=cls.model_fields, owner=cls.__name__)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: object) -> object:
        return cls._understood(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _connect(self) -> Self:
        # Here, not above: it needs numpy, and importing this module must stay cheap.
        from embedway_client import Client

        self._client = Client(
            self.model,
            base_url=self.base_url,
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
            dimensions=self.dimensions,
            batch_size=self.batch_size,
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
            max_concurrency=self.max_concurrency,
            on_usage=self.on_usage,
        )
        return self
