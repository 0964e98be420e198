"""What a configuration file may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from embedway_gateway.config.allowance import AllowanceConfig
from embedway_gateway.config.cache import CacheConfig
from embedway_gateway.config.contradiction import contradictions
from embedway_gateway.config.credential import CredentialConfig
from embedway_gateway.config.discovery import DiscoveryConfig
from embedway_gateway.config.known import completed, listed
from embedway_gateway.config.limits import LimitsConfig, MemoryLimitsConfig
from embedway_gateway.config.oidc import OIDCConfig
from embedway_gateway.config.routing import RoutingConfig
from embedway_gateway.config.strict import Strict
from embedway_gateway.config.usage import UsageConfig
from embedway_gateway.config.value import Duration, Pause, Size
from embedway_gateway.precision import Precision
from embedway_upstream.loopback import is_loopback

__all__ = [
    "Capability",
    "Config",
    "ModelConfig",
    "PromptConfig",
    "ServerConfig",
    "UpstreamConfig",
    "default_config",
    "require_address",
]


Capability: TypeAlias = Literal["embed", "rerank", "chat"]

# As `embedway_local` reads it; a configuration must be told of its mistakes without that extra.
_DEVICE = r"^(auto|cpu|(cuda|tensorrt)(:(all|\d{1,3}(,\d{1,3})*))?)$"


class ServerConfig(Strict):
    """How the gateway listens, and to whom."""

    keys: Path | None = None
    """The file of API keys."""
    oidc: OIDCConfig | None = None
    """Whose tokens open it too."""
    open_models: bool = False
    """Whether the models may be listed without a key."""
    open_metrics: bool = False
    """Whether the metrics may be read without a key."""
    # After what it depends on.
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    max_body_bytes: Size = 10 * 1024 * 1024
    request_timeout: Duration = 120.0
    """A request's deadline, retries included."""
    max_connections: int = Field(default=4096, ge=1)
    """Of each worker. Over it the one that was idle longest is closed, or the new one gets 503."""
    max_header_bytes: Size = 32 * 1024
    """The request line and all headers."""
    header_timeout: Duration = 15.0
    """For all of them, from the connection's start or the request's first byte."""
    body_timeout: Duration = 60.0
    """For the whole body; `request_timeout` where that is shorter."""
    send_timeout: Duration = 60.0
    """How long a client may take nothing of an answer."""
    grace: Duration = 30.0
    """How long what was begun may go on after SIGTERM."""
    drain_delay: Pause = 0.0
    """How long after SIGTERM new requests are still served, while /readyz already says no."""
    log: Literal["auto", "json", "text"] = "auto"

    @property
    def guarded(self) -> bool:
        """Whether callers must say who they are."""
        return self.keys is not None or self.oidc is not None

    @field_validator("host")
    @classmethod
    def _only_loopback(cls, host: str, info: ValidationInfo) -> str:
        guarded = info.data.get("keys") is not None or info.data.get("oidc") is not None
        if not guarded and not is_loopback(host):
            raise ValueError(
                f"{host} is not a loopback address; without API keys the gateway listens on "
                "127.0.0.1 or ::1 only: `embedway keys create --name NAME` makes a key, and "
                "`server: {keys: keys.yaml}` has keys asked for"
            )
        return host


class PromptConfig(Strict):
    """What is put before a text, by its input type."""

    query: str = ""
    document: str = ""


class UpstreamConfig(Strict):
    """One deployment."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    engine: Literal["tei", "ovms", "onnx", "infinity", "vllm", "openai", "litellm", "local"]
    platform: Literal["plain", "oci", "aicore"] = "plain"
    url: str | None = None
    invoke: Literal["predict", "route", "suffix"] = "predict"
    resource_group: str | None = None
    """None is what credentials of type aicore say, else `default`."""
    pooling: Literal["cls", "mean"] | None = None
    path: str | None = Field(default=None, pattern=r"^/")
    model: str | None = None
    credentials: str | None = None
    insecure: bool = False
    priority: int = Field(default=0, ge=0)
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    max_inputs: int | None = Field(default=None, ge=1)
    max_concurrency: int = Field(default=32, ge=1)
    timeout: Duration = 55.0
    device: Annotated[str, Field(pattern=_DEVICE)] = "auto"
    precision: Precision = "fp32"
    """
    Of its vectors: how exactly they must agree with the model's. Engine local is run in it.
    """

    @model_validator(mode="after")
    def _matches_engine(self) -> Self:
        if self.engine == "local":
            for field in ("url", "path", "credentials"):
                if getattr(self, field) is not None:
                    raise ValueError(f"engine local runs in this process and takes no {field}")
            if self.platform != "plain":
                raise ValueError("engine local runs in this process and has no platform")
            return self
        if self.engine == "litellm":
            return self._require_hosted()
        if self.pooling is not None and self.engine != "onnx":
            raise ValueError("pooling is for engine onnx: the other engines pool themselves")
        if self.platform != "plain" and self.credentials is None:
            raise ValueError(f"platform {self.platform} needs credentials")
        if self.url is None:
            raise ValueError(f"engine {self.engine} needs a url")
        require_address(self.url, insecure=self.insecure)
        return self

    def _require_hosted(self) -> Self:
        # Imported here: it loads what only a hosted provider needs.
        from embedway_gateway.hosted.provider import require

        require(self.model or "")
        if self.platform != "plain":
            raise ValueError("engine litellm finds the provider itself and has no platform")
        for field in ("path", "pooling"):
            if getattr(self, field) is not None:
                raise ValueError(
                    f"engine litellm takes no {field}: model and url say how it is called"
                )
        if self.url is not None:
            require_address(self.url, insecure=self.insecure)
        return self


def require_address(url: str, *, insecure: bool) -> None:
    """Raise `ValueError` unless an upstream may be called there."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("url must begin with https:// and name a host")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("url has a port beyond 65535") from None
    if parts.username or parts.query or parts.fragment:
        raise ValueError("url must have no user, query or fragment")
    if parts.scheme == "http" and not (insecure or is_loopback(parts.hostname)):
        raise ValueError("url is plain http beyond this machine; use https, or insecure: true")


class ModelConfig(Strict):
    """What clients name."""

    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    capabilities: tuple[Capability, ...] = Field(default=("embed",), min_length=1)
    dimensions: int | None = Field(default=None, ge=1)
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    max_tokens: int | None = Field(default=None, ge=1)
    prompts: PromptConfig | Literal["auto"] | None = None
    revision: str | None = None
    """Whatever names the weights; another one is another vector space."""
    reference: str | None = None
    """The upstream that defines the vector space, whether it can be reached or not."""
    agreement: float | None = Field(default=None, gt=0, lt=1)
    """The least cosine with the reference; None is by the upstreams' precision."""
    cache: bool = True
    """Whether its vectors are cached where the others' are."""
    limits: AllowanceConfig = AllowanceConfig()
    """Of all callers together."""
    upstreams: tuple[UpstreamConfig, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _takes_what_is_known(cls, values: object) -> object:
        return completed(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [upstream.name for upstream in self.upstreams]
        if len(set(names)) != len(names):
            raise ValueError("two upstreams have the same name")
        if self.reference is not None and self.reference not in names:
            raise ValueError(
                f"reference: {self.reference!r} is no upstream of the model ({', '.join(names)})"
            )
        local = any(upstream.engine == "local" for upstream in self.upstreams)
        if "embed" in self.capabilities and self.dimensions is None and not local:
            raise ValueError(
                "dimensions is needed, for a model that the catalogue does not know: "
                "every reply is checked against it "
                "(a model that only reranks or chats says so: capabilities: [rerank])"
            )
        if "rerank" in self.capabilities and any(
            upstream.engine in {"onnx", "openai"} for upstream in self.upstreams
        ):
            raise ValueError("engines onnx and openai do not rerank")
        if local and {"embed", "rerank"} <= set(self.capabilities):
            raise ValueError(
                "a local model either embeds or reranks: make two models of it "
                "(capabilities: [rerank] for the cross-encoder)"
            )
        if "chat" in self.capabilities and any(
            upstream.engine not in {"vllm", "ovms", "openai"} for upstream in self.upstreams
        ):
            raise ValueError("only engines vllm, ovms and openai (which TGI speaks) chat")
        if self.prompts == "auto" and not local:
            raise ValueError(
                f"prompts: auto, but the catalogue knows no prompts for {self.name} (`embedway "
                "models list --known` shows it); write them out: {query: …, document: …}"
            )
        if self.dimensions is not None and any(n >= self.dimensions for n in self.matryoshka):
            raise ValueError("matryoshka sizes must be smaller than dimensions")
        return self

    @property
    def known_prompts(self) -> PromptConfig | None:
        """Of a model with a local upstream: what `auto` means where its files say nothing."""
        if self.prompts != "auto":
            return None
        entry = listed(self.name, (upstream.model for upstream in self.upstreams))
        if entry is None or entry.prompts is None:
            return None
        return PromptConfig.model_validate(dict(entry.prompts))


class Config(Strict):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    credentials: dict[str, CredentialConfig] = Field(default_factory=dict)
    models: tuple[ModelConfig, ...] = ()
    discovery: tuple[DiscoveryConfig, ...] = ()
    cache: CacheConfig | None = None
    limits: LimitsConfig = MemoryLimitsConfig()
    usage: UsageConfig | None = None
    routing: RoutingConfig = RoutingConfig()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        # All of them, one a line.
        if problems := list(contradictions(self)):
            raise ValueError("\n".join(problems))
        return self


def default_config(model: str) -> Config:
    """What `embedway serve` does without a file: one model on the local runtime."""
    upstream = UpstreamConfig(name="local", engine="local")
    # Imported here: a configuration that names no local model has no need of the runtime.
    from embedway_local.catalogue import known

    entry = known(model)
    aliases = entry.aliases if entry and entry.name == model else ()
    return Config(models=(ModelConfig(name=model, aliases=aliases, upstreams=(upstream,)),))
