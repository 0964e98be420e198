"""What a client was told, checked once: everything but its connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from embedway_client.address import LOCAL, SECRET_HEADERS, require_private, root
from embedway_client.attempt import Pace
from embedway_client.connection import Connections
from embedway_client.gateway import Gateway, GatewayRerank
from embedway_client.line import Line
from embedway_client.local import Local, Precision
from embedway_client.space import Known, Space
from embedway_client.text import MAX_TEXTS
from embedway_client.usage import OnUsage, Report
from embedway_upstream import Anonymous, Bearer, Endpoint, Engine, InputType, Plain
from embedway_upstream.rerank_endpoint import RerankEndpoint

if TYPE_CHECKING:
    from embedway_client.deployment import Deployment

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The keywords of `Client`, after the environment was asked. Raises `ValueError`.

    With a `deployment` there is no gateway: `base_url` is the deployment's, and `dimensions` what
    its vectors have, not what is asked for.
    """

    model: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    dimensions: int | None
    batch_size: int
    timeout: float
    max_retries: int
    fallback: Literal["local"] | None
    vector_space: str | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    insecure: bool
    accept_space_change: bool = False
    deployment: Deployment | None = None
    precision: Precision = "fp32"
    """Of the model in this process."""
    query_prompt: str = ""
    document_prompt: str = ""
    max_concurrency: int = 4
    on_usage: OnUsage | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._require_precision()
        self._require_counts()
        if not self.model:
            raise ValueError("model is empty; name the model, as the server does")
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout={self.timeout}: a number of seconds above 0 is needed")
        if self.fallback not in {None, LOCAL}:
            raise ValueError(f'fallback={self.fallback!r}: "local" and None are possible')
        for name, value in self.headers.items():
            _require_header(name, value)
        if self.deployment is not None and self.fallback and not self.vector_space:
            raise ValueError(
                f'fallback="{LOCAL}" needs vector_space=, the fingerprint of the local model: a '
                "deployment does not tell its own"
            )
        if self.is_remote and self.deployment is None:
            self._require_safe()

    @property
    def is_remote(self) -> bool:
        """Whether texts leave this process."""
        return self.base_url != LOCAL

    def endpoint(self) -> Endpoint:
        """The deployment; or the server, that speaks OpenAI's contract and shows its own words."""
        if self.deployment is not None:
            return self.deployment.endpoint(self.model, self.dimensions)
        # OpenAI's rule: what follows the host is the user's, `/embeddings` is ours.
        return self._server(Gateway(input_type=True), "/embeddings")

    def rerank_endpoint(self) -> RerankEndpoint:
        """The same for reranking; raises `ValueError` where the deployment's engine cannot."""
        if self.deployment is not None:
            return self.deployment.rerank_endpoint(self.model)
        engine = GatewayRerank()
        return RerankEndpoint(endpoint=self._server(engine, "/rerank"), engine=engine)

    def line(self, connections: Connections, pace: Pace) -> Line:
        """To the deployment or the server."""
        return Line(
            self.endpoint().credentials,
            connections,
            seconds=self.timeout,
            retries=self.max_retries,
            headers=self.headers,
            renews=self.deployment is not None,
            pace=pace,
        )

    def local(self) -> Local:
        """
        The model in this process, with the prompts that are stated, else its own; in the place of a
        deployment with what that is sent, be it none.
        """
        prompts = {"query": self.query_prompt, "document": self.document_prompt}
        stated = self.deployment is not None or any(prompts.values())
        return Local(
            self.model,
            dimensions=self.dimensions,
            precision=self.precision,
            prompts=prompts if stated else None,
        )

    def prompt(self, input_type: InputType) -> str:
        """What is put before a text that is sent."""
        return self.query_prompt if input_type == "query" else self.document_prompt

    def report(self) -> Report:
        """Of what calls cost."""
        return Report(self.model, self.on_usage)

    def space(self, known: Known | None) -> Space:
        """The space that was learned before, or the one that is stated."""
        known = known or Known(self.vector_space)
        return Space(known, accept_change=self.accept_space_change)

    def _server(self, engine: Engine, path: str) -> Endpoint:
        # A header that authorises is more explicit than a key, which may be the environment's.
        key = None if "authorization" in self.headers else self.api_key
        return Endpoint(
            name="gateway",
            engine=engine,
            platform=Plain(root(self.base_url)),
            credentials=Anonymous() if key is None else Bearer(key),
            path=path,
        )

    def _require_safe(self) -> None:
        url = root(self.base_url)
        if self.api_key is not None:
            Bearer(self.api_key)
        if (self.api_key is not None or SECRET_HEADERS & self.headers.keys()) and not self.insecure:
            require_private(url)

    def _require_counts(self) -> None:
        if self.dimensions is not None and self.dimensions < 1:
            raise ValueError(f"dimensions={self.dimensions}: at least 1 is needed")
        if not 1 <= self.batch_size <= MAX_TEXTS:
            raise ValueError(
                f"batch_size={self.batch_size}: 1 to {MAX_TEXTS} texts fit in a request"
            )
        if self.max_retries < 0:
            raise ValueError(f"max_retries={self.max_retries}: 0 or more are possible")
        if self.max_concurrency < 1:
            raise ValueError(f"max_concurrency={self.max_concurrency}: at least 1 is needed")

    def _require_precision(self) -> None:
        if self.precision not in get_args(Precision):
            known = ", ".join(f'"{name}"' for name in get_args(Precision))
            raise ValueError(f"precision={self.precision!r}: {known} are known")
        if self.precision not in {"fp32", "auto"} and self.is_remote and not self.fallback:
            raise ValueError(
                f"precision={self.precision!r} is for a model in this process; what a server "
                "computes in is set there"
            )


def _require_header(name: str, value: str) -> None:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"headers: {name!r} is not the name of a header")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"headers: {name!r} has characters that no header can carry")
