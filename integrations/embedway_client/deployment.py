"""What a client without a gateway was told of its one deployment, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, get_args
from urllib.parse import unquote

from embedway_client.address import require_deployment
from embedway_client.credential import is_oci
from embedway_upstream import (
    Anonymous,
    Bearer,
    Credentials,
    EmbeddingError,
    Endpoint,
    Platform,
    UpstreamRefused,
)
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.engines.tei import TEI
from embedway_upstream.platforms.plain import Plain
from embedway_upstream.rerank_endpoint import RerankEndpoint

__all__ = ["Deployment", "EngineName", "Invoke", "PlatformName", "Pooling", "guess"]

EngineName: TypeAlias = Literal["tei", "ovms", "onnx", "infinity", "vllm", "openai"]
PlatformName: TypeAlias = Literal["plain", "oci", "aicore"]
Invoke: TypeAlias = Literal["predict", "route", "suffix"]
Pooling: TypeAlias = Literal["cls", "mean"]

_OCID = "ocid1.datasciencemodeldeployment"
_OPERATIONS = ("/predictWithResponseStream", "/predict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The keywords of `Client.direct` that no gateway has. Raises `ValueError`."""

    url: str
    engine: EngineName
    platform: PlatformName
    invoke: Invoke
    resource_group: str
    pooling: Pooling | None
    path: str | None
    served_model: str | None
    query_prompt: str
    document_prompt: str
    insecure: bool
    credentials: Credentials = field(repr=False)

    def __post_init__(self) -> None:
        _require("engine", self.engine, get_args(EngineName))
        _require("platform", self.platform, get_args(PlatformName))
        _require("invoke", self.invoke, get_args(Invoke))
        _require("pooling", self.pooling, (None, *get_args(Pooling)))
        if self.pooling is not None and self.engine != "onnx":
            raise ValueError('pooling= is for engine="onnx": the other engines pool themselves')
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"path={self.path!r}: a path begins with /")
        if self.path is not None and _climbs(self.path):
            raise ValueError(f"path={self.path!r}: . and .. would lead away from url")
        require_deployment(self.url, insecure=self.insecure)
        self._require_login()

    def endpoint(self, model: str, dimensions: int | None) -> Endpoint:
        """The deployment, as the gateway's own leaf has it."""
        options = Options(model=self.served_model or model, pooling=self.pooling)
        return Endpoint(
            name="deployment",
            engine=ENGINES[self.engine](options),
            platform=self._where(),
            credentials=self.credentials,
            dimensions=dimensions,
            path=self.path,
        )

    def rerank_endpoint(self, model: str) -> RerankEndpoint:
        """The deployment as one that reranks; raises `ValueError` where its engine cannot."""
        endpoint = self.endpoint(model, None)
        engine = endpoint.engine
        if isinstance(engine, TEI | Cohere):
            return RerankEndpoint(endpoint=endpoint, engine=engine)
        raise ValueError(f'engine="{self.engine}" does not rerank: tei, ovms, infinity, vllm do')

    def shown(self) -> dict[str, object]:
        """Every keyword but the credentials."""
        names = [item.name for item in fields(self) if item.name != "credentials"]
        return {name: getattr(self, name) for name in names}

    def _where(self) -> Platform:
        # Imported where used: most have one of them.
        if self.platform == "oci":
            from embedway_upstream.platforms.oci import OCI

            return OCI(self.url, invoke=self.invoke)
        if self.platform == "aicore":
            from embedway_upstream.platforms.aicore import AICore

            return AICore(self.url, resource_group=self.resource_group)
        return _Address(self.url)

    def _require_login(self) -> None:
        if self.platform == "oci" and isinstance(self.credentials, Anonymous | Bearer):
            raise ValueError(
                "a deployment on OCI wants signed calls: give credentials= a signer of the oci "
                "SDK, ads.common.auth.default_signer(), or what "
                "embedway_upstream.credentials.principal makes, such as api_key()"
            )
        if self.platform == "aicore" and isinstance(self.credentials, Anonymous):
            raise ValueError(
                "a deployment on SAP AI Core wants a token: give credentials= the service key (a "
                "dict or its JSON), embedway_client.aicore_credentials(), or a bearer token"
            )


class _Address(Plain):
    """An engine with nothing in front, whose refusal is told to who gave the credentials."""

    __slots__ = ()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError | None:
        """A refusal in the words of `direct`'s keywords; else the engine speaks."""
        if status not in {401, 403}:
            return None
        return UpstreamRefused(
            f"the deployment refuses the call ({status}): check credentials=, for an engine on an "
            "address of its own the API key that it was started with, as a str",
            detail=f"status {status}",
        )


def guess(url: str, credentials: Credentials) -> PlatformName:
    """The platform that an address and the credentials for it are of."""
    # Not parsed: whether it is an address at all is asked elsewhere.
    path = url.partition("?")[0].rstrip("/")
    for operation in _OPERATIONS:
        path = path.removesuffix(operation)
    if path.rpartition("/")[2].startswith(_OCID):
        return "oci"
    if "/v2/inference/deployments/" in path:
        return "aicore"
    return "oci" if is_oci(credentials) else "plain"


def _climbs(path: str) -> bool:
    """Whether a client or a server on the way would resolve segments of it."""
    plain = unquote(path).replace("\\", "/")
    return not {".", ".."}.isdisjoint(plain.split("/"))


def _require(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value!r}: {', '.join(map(repr, known))} are possible")
