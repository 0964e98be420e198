"""What a configuration file may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from embedway_gateway.config.allowance import AllowanceConfig
from embedway_gateway.config.cache import CacheConfig
from embedway_gateway.config.contradiction import contradictions
from embedway_gateway.config.credential import CredentialConfig
from embedway_gateway.config.discovery import DiscoveryConfig
from embedway_gateway.config.host import HostName
from embedway_gateway.config.known import completed, listed
from embedway_gateway.config.limits import LimitsConfig, MemoryLimitsConfig
from embedway_gateway.config.oidc import OIDCConfig
from embedway_gateway.config.routing import RoutingConfig
from embedway_gateway.config.strict import Strict
from embedway_gateway.config.tracing import TracingConfig
from embedway_gateway.config.upstream import UpstreamConfig, require_address
from embedway_gateway.config.usage import UsageConfig
from embedway_gateway.config.value import Amount, Duration, Pause, Size
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


class ServerConfig(Strict):
    """How the gateway listens, and to whom."""

    keys: Path | None = None
    """
    The file of API keys; without it, and without `oidc`, nobody is asked who they are. A path, as
    all, from the working directory.
    """
    oidc: OIDCConfig | None = None
    """An identity provider whose tokens open the gateway, beside keys or instead."""
    open_models: bool = False
    """Whether the models may be listed without a key, as some clients do."""
    open_metrics: bool = False
    """Whether `/metrics` may be read without a key; else it takes one with admin rights."""
    console: bool = True
    """Whether there is a page at `/` to look at."""
    # After what it depends on.
    host: str = "127.0.0.1"
    """Where to listen; beyond a loopback address only with `keys` or `oidc`."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Where to listen; 0 chooses a free one, which the log names."""
    allowed_hosts: tuple[HostName, ...] = ()
    """
    Further names that the gateway answers to, as `Host` states them, without port. Without keys it
    answers to `localhost`, addresses and names without a dot; with keys to any name, unless names
    are stated here: then to these, `localhost` and addresses.
    """
    max_body_bytes: Size = 10 * 1024 * 1024
    """A larger body is refused with 413 while it is read."""
    request_timeout: Duration = 120.0
    """A request's deadline, retries included."""
    max_connections: Amount = 4096
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
    """
    How long after SIGTERM new requests are still served while /readyz says no; 5s behind a load
    balancer.
    """
    log: Literal["auto", "json", "text"] = "auto"
    """The form of the log; `auto` is text on a terminal and JSON elsewhere."""

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
    """Put before each text with `input_type: query`."""
    document: str = ""
    """Put before each other text."""


class ModelConfig(Strict):
    """What clients name."""

    name: str = Field(min_length=1)
    """What clients ask for, and what a local upstream loads."""
    aliases: tuple[str, ...] = ()
    """Further names."""
    capabilities: tuple[Capability, ...] = Field(default=("embed",), min_length=1)
    """What clients may ask of it."""
    dimensions: int | None = Field(default=None, ge=1)
    """
    Length of a vector, checked on every reply; required of a model that embeds, unless an
    upstream is `local` or the catalogue knows the model.
    """
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """
    Smaller sizes that a request's `dimensions` may ask for; the model must be trained for them.
    """
    max_tokens: int | None = Field(default=None, ge=1)
    """Where a local upstream cuts a text; for other upstreams it is only shown."""
    prompts: PromptConfig | Literal["auto"] | None = None
    """
    Put before each text. `auto`: those of a local upstream's own files, else those of the
    catalogue.
    """
    revision: str | None = None
    """
    Free text for which weights are deployed, such as a date or a commit; part of the
    fingerprint, so change it when you deploy another model under the same name.
    """
    reference: str | None = None
    """
    The upstream that defines the vector space, whether it can be reached or not; none is the
    local one, else the first of the best priority that gives vectors.
    """
    agreement: float | None = Field(default=None, gt=0, lt=1)
    """
    The least cosine of every upstream with the reference; none is by `precision` of both: 0.999
    for `fp32`, 0.998 for `fp16`, 0.995 for `bf16`, 0.97 for `int8`, the lower of the two. Of a
    `local` upstream in `int8` or `bf16` the loss that was measured counts instead, times four.
    The lengths may differ by 2 %, or by half of what that cosine lets the vectors lie apart: by
    12 % for `int8`.
    """
    cache: bool = True
    """`false` keeps its vectors out of the cache."""
    limits: AllowanceConfig = AllowanceConfig()
    """What all callers together may use of it."""
    upstreams: tuple[UpstreamConfig, ...] = Field(min_length=1)
    """The deployments that answer for it."""

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
    """How the gateway listens."""
    credentials: dict[str, CredentialConfig] = Field(default_factory=dict)
    """By names of your choice, which upstreams refer to."""
    models: tuple[ModelConfig, ...] = ()
    """May be absent where `discovery` is given; names and aliases are unique across the file."""
    discovery: tuple[DiscoveryConfig, ...] = ()
    """Places to look for deployments."""
    cache: CacheConfig | None = None
    """Where vectors are kept; none is nowhere."""
    limits: LimitsConfig = MemoryLimitsConfig()
    """Who counts what keys and models may use."""
    usage: UsageConfig | None = None
    """
    Where it is kept who used how much; none is an SQLite file, as soon as there are `keys` or
    `oidc`.
    """
    tracing: TracingConfig | None = None
    """Where traces go; none is nowhere, unless OpenTelemetry's own variables say so."""
    routing: RoutingConfig = RoutingConfig()
    """How upstreams are chosen, tried again and left alone, for all models."""

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
