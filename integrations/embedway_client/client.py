"""Embeds and reranks through a gateway, a deployment's or OpenAI's API, or in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

from embedway_client import environment
from embedway_client.assembly import Assembly
from embedway_client.embedding import EmbeddingResult
from embedway_client.encoder import OnProgress
from embedway_client.local import Precision
from embedway_client.settings import Settings
from embedway_client.space import Known
from embedway_client.usage import OnUsage
from embedway_upstream import InputType, RerankResult

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from embedway_client.attempt import Pace
    from embedway_client.deployment import Deployment, EngineName, Invoke, PlatformName, Pooling

__all__ = ["Client"]


class Client:
    """
    Turns texts into vectors, reranks documents; may be used from threads and event loops at once.

        with Client("minilm") as client:
            client.embed(["a text", "another"])  # float32 (2, 384)

    `base_url`: where the server's `/embeddings` is, by default `EMBEDWAY_BASE_URL` or the gateway
    on this machine; "local" embeds in this process, in `precision` (as `LocalEmbedder` has it).
    `api_key`: by default `EMBEDWAY_API_KEY`; sent over plain http only to this machine, unless
    `insecure`. `batch_size`: texts in a request. `timeout`: seconds for one attempt.
    `max_retries`: further ones after connection failures, timeouts, 429 and 5xx.
    `fallback="local"`: embed in this process while the server cannot be reached, provided that
    the local model's vector space is the one that the server told before, or `vector_space`.
    `vector_space`: the fingerprint that vectors must have; by default the first one seen.
    `accept_space_change`: follow the server into another vector space instead of raising.
    `headers`: sent with every request; an `authorization` there replaces the API key.
    `http_client`, `http_async_client`: used as they are, never closed here.
    `query_prompt`, `document_prompt`: put before the texts, in this process and for a server that
    is no gateway of ours; a gateway has its own. `max_concurrency`: requests of an async call at
    once. `on_usage`: told of every call that succeeded. `pace`: for tests. Raises `ValueError` for
    settings that cannot work.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimensions: int | None = None,
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        fallback: Literal["local"] | None = None,
        precision: Precision = "fp32",
        vector_space: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        insecure: bool = False,
        accept_space_change: bool = False,
        query_prompt: str = "",
        document_prompt: str = "",
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
        pace: Pace | None = None,
    ) -> None:
        settings = Settings(
            model=model,
            base_url=base_url or environment.base_url(),
            api_key=api_key or environment.api_key(),
            dimensions=dimensions,
            batch_size=batch_size,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            precision=precision,
            vector_space=vector_space,
            headers={name.lower(): value for name, value in (headers or {}).items()},
            insecure=insecure,
            accept_space_change=accept_space_change,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            max_concurrency=max_concurrency,
            on_usage=on_usage,
        )
        self._over(Assembly(settings, http_client, http_async_client, pace=pace))

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
        pace: Pace | None = None,
    ) -> Self:
        """
        One that signs and calls a deployment itself, with no gateway.

            Client.direct(model="m", url="https://modeldeployment…/ocid1…", credentials=signer)

        `url`: the deployment's base, to which the engine's path is added (or `path`, if given).
        `engine`: what answers there. `credentials`: a signer of the `oci` SDK, the `{"signer": …}`
        of oracle-ads, credentials of embedway, a bearer token, or a service key of SAP AI Core;
        they are renewed before they expire, and once more after a 401. `platform`: what stands in
        front of the engine: "oci", "aicore" or "plain", by default seen from `url` and
        `credentials`. `invoke`: on OCI, how the path travels: not at all ("predict"), in a header
        ("route"), behind `/predict` ("suffix"). `resource_group`: on AI Core. `pooling`: "cls" or
        "mean", for a `score.py` that does not pool (engine "onnx"). `served_model`: what the server
        calls it, by default `model`. `dimensions`: of the model's vectors, checked on every reply.
        `query_prompt`, `document_prompt`: put before the texts. `batch_size`: texts in a request,
        never more than the engine takes as it comes. `fallback`: needs `vector_space`, which a
        deployment does not tell. `insecure`: allow plain http to another machine.

        Raises `ValueError` for settings that cannot work, `TypeError` for credentials that are
        not understood, `ImportError` where signing needs a package. Does no I/O.
        """
        # Imported here: it brings every engine's dialect, and a gateway speaks but one.
        from embedway_client.credential import accepted
        from embedway_client.deployment import Deployment, guess

        login = accepted(credentials)
        deployment = Deployment(
            url=url,
            engine=engine,
            platform=platform or guess(url, login),
            invoke=invoke,
            resource_group=resource_group,
            pooling=pooling,
            path=path,
            served_model=served_model,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            insecure=insecure,
            credentials=login,
        )
        settings = Settings(
            model=model,
            base_url=url,
            dimensions=dimensions,
            batch_size=batch_size,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            vector_space=vector_space,
            insecure=insecure,
            deployment=deployment,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            max_concurrency=max_concurrency,
            on_usage=on_usage,
        )
        made = Assembly(settings, http_client, http_async_client, pace=pace)
        return cls._over(cls.__new__(cls), made)

    @property
    def deployment(self) -> Deployment | None:
        """What `direct` was told, else None."""
        return self._settings.deployment

    @property
    def vector_space(self) -> str | None:
        """The fingerprint that vectors must have: as stated, else as it was first seen."""
        return self._inner.space.known.fingerprint

    def accept_vector_space(self, fingerprint: str | None = None) -> None:
        """Go on in this vector space, by default in whichever the next answer is in."""
        self._inner.space.accept(fingerprint)

    def embed(
        self, texts: Iterable[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """
        One vector a text: float32 (n, d), row i of text i; (0, d) or (0, 0) for no texts.

        Raises `TypeError` and `ValueError` for what is not text, and an `EmbeddingError` for
        everything that goes wrong on the way.
        """
        return self.encode(texts, input_type=input_type).vectors

    async def aembed(
        self, texts: Iterable[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Like `embed`, with up to `max_concurrency` requests at once."""
        return (await self.aencode(texts, input_type=input_type)).vectors

    def encode(
        self,
        texts: Iterable[str],
        *,
        input_type: InputType = "document",
        batch_size: int | None = None,
        progress: OnProgress | None = None,
    ) -> EmbeddingResult:
        """
        Like `embed`, with the usage, the vector space, and whether a fallback answered.

        `batch_size`: this call's own. `progress`: told how many texts are done anew.
        """
        return self._inner.encoder.encode(texts, input_type, batch_size, progress)

    async def aencode(
        self,
        texts: Iterable[str],
        *,
        input_type: InputType = "document",
        batch_size: int | None = None,
        progress: OnProgress | None = None,
    ) -> EmbeddingResult:
        """Like `encode`, with several requests at once; the first error cancels the others."""
        return await self._inner.encoder.aencode(texts, input_type, batch_size, progress)

    def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankResult]:
        """
        The documents' numbers and scores, the most relevant first: the best `top_n`, else all.

        The server is asked at `/rerank`. No fallback stands in: scores have no space that would
        tell whether they are comparable. Raises like `embed`, `ValueError` for an empty text and an
        engine that does not rerank, `UpstreamFailed` where different upstreams answered requests.
        """
        return list(self._inner.ranker.rank(query, documents, top_n).results)

    async def arerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> list[RerankResult]:
        """Like `rerank`, with several requests at once; the first error cancels the others."""
        return list((await self._inner.ranker.arank(query, documents, top_n)).results)

    def close(self) -> None:
        """Close the connections and free the local model; later calls raise `RuntimeError`."""
        self._inner.close()

    async def aclose(self) -> None:
        """Like `close`; the running event loop's connections are closed when this returns."""
        await self._inner.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        told = self._settings
        if told.deployment is None:
            return f"Client({told.model!r}, base_url={told.base_url!r})"
        return f"Client.direct(model={told.model!r}, {told.deployment!r})"

    def __getstate__(self) -> tuple[Settings, Known]:
        """What pickles: the settings and the learned space, never a connection."""
        return self._settings, self._inner.space.known

    def __setstate__(self, state: tuple[Settings, Known]) -> None:
        self._over(Assembly(state[0], known=state[1]))

    def __deepcopy__(self, memo: object) -> Self:
        cls = type(self)
        return cls._over(cls.__new__(cls), self._inner.twin())

    def _over(self, inner: Assembly) -> Self:
        self._inner, self._settings = inner, inner.settings
        return self
