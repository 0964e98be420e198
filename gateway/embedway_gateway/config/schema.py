"""What a configuration file may say."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from embedway_gateway.config.credential import CredentialConfig
from embedway_gateway.config.discovery import DiscoveryConfig
from embedway_gateway.config.value import Duration, Size
from embedway_upstream.loopback import is_loopback

__all__ = [
    "Config",
    "ModelConfig",
    "PromptConfig",
    "ServerConfig",
    "UpstreamConfig",
    "default_config",
    "require_address",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _only_loopback(host: str) -> str:
    if not is_loopback(host):
        raise ValueError(
            f"{host} is not a loopback address; without API keys, which this version does not "
            "have, the gateway listens on 127.0.0.1 or ::1 only"
        )
    return host


class ServerConfig(_Strict):
    """How the gateway listens."""

    host: Annotated[str, AfterValidator(_only_loopback)] = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    max_body_bytes: Size = 10 * 1024 * 1024
    request_timeout: Duration = 120.0
    """A request's deadline, retries included."""
    grace: Duration = 30.0
    """How long what was begun may go on after SIGTERM."""
    log: Literal["auto", "json", "text"] = "auto"


class PromptConfig(_Strict):
    """What is put before a text, by its input type."""

    query: str = ""
    document: str = ""


class UpstreamConfig(_Strict):
    """One deployment."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    engine: Literal["tei", "ovms", "onnx", "infinity", "vllm", "openai", "local"]
    platform: Literal["plain", "oci", "aicore"] = "plain"
    url: str | None = None
    invoke: Literal["predict", "route", "suffix"] = "predict"
    resource_group: str = "default"
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
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _matches_engine(self) -> Self:
        if self.engine == "local":
            for field in ("url", "path", "credentials"):
                if getattr(self, field) is not None:
                    raise ValueError(f"engine local runs in this process and takes no {field}")
            if self.platform != "plain":
                raise ValueError("engine local runs in this process and has no platform")
            return self
        if self.pooling is not None and self.engine != "onnx":
            raise ValueError("pooling is for engine onnx: the other engines pool themselves")
        if self.platform != "plain" and self.credentials is None:
            raise ValueError(f"platform {self.platform} needs credentials")
        if self.url is None:
            raise ValueError(f"engine {self.engine} needs a url")
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


class ModelConfig(_Strict):
    """What clients name."""

    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    capabilities: tuple[Literal["embed", "rerank"], ...] = Field(default=("embed",), min_length=1)
    dimensions: int | None = Field(default=None, ge=1)
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    max_tokens: int | None = Field(default=None, ge=1)
    prompts: PromptConfig | Literal["auto"] | None = None
    upstreams: tuple[UpstreamConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [upstream.name for upstream in self.upstreams]
        if len(set(names)) != len(names):
            raise ValueError("two upstreams have the same name")
        local = any(upstream.engine == "local" for upstream in self.upstreams)
        if "embed" in self.capabilities and self.dimensions is None and not local:
            raise ValueError(
                "dimensions is needed: every reply is checked against it "
                "(a model that only reranks says so: capabilities: [rerank])"
            )
        if "rerank" in self.capabilities and any(
            upstream.engine in {"local", "onnx", "openai"} for upstream in self.upstreams
        ):
            raise ValueError("engines local, onnx and openai do not rerank")
        if self.prompts == "auto" and not local:
            raise ValueError("prompts: auto is read from a local model; write the prompts out")
        if self.dimensions is not None and any(n >= self.dimensions for n in self.matryoshka):
            raise ValueError("matryoshka sizes must be smaller than dimensions")
        return self


class Config(_Strict):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    credentials: dict[str, CredentialConfig] = {}
    models: tuple[ModelConfig, ...] = ()
    discovery: tuple[DiscoveryConfig, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.models and not self.discovery:
            raise ValueError("models: at least one is needed, or a place for discovery to look")
        for index, item in enumerate(self.discovery):
            if item.credentials not in self.credentials:
                known = ", ".join(self.credentials) or "none are defined"
                raise ValueError(
                    f"discovery[{index}].credentials: no credentials {item.credentials!r} "
                    f"(known: {known})"
                )
        seen: dict[str, int] = {}
        for index, model in enumerate(self.models):
            for name in (model.name, *model.aliases):
                if name in seen:
                    raise ValueError(
                        f"models[{index}]: the name {name!r} is taken by models[{seen[name]}]"
                    )
                seen[name] = index
            for place, upstream in enumerate(model.upstreams):
                wanted = upstream.credentials
                if wanted is not None and wanted not in self.credentials:
                    known = ", ".join(self.credentials) or "none are defined"
                    raise ValueError(
                        f"models[{index}].upstreams[{place}].credentials: no credentials "
                        f"{wanted!r} (known: {known})"
                    )
        return self


def default_config(model: str) -> Config:
    """What `embedway serve` does without a file: one model on the local runtime."""
    upstream = UpstreamConfig(name="local", engine="local")
    # Imported here: a configuration that names no local model has no need of the runtime.
    from embedway_local.catalogue import CATALOGUE

    known = CATALOGUE.get(model)
    aliases = known.aliases if known else ()
    return Config(models=(ModelConfig(name=model, aliases=aliases, upstreams=(upstream,)),))
