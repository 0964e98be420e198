"""What a configuration file may say of one deployment, and where it may be called."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Amount, Duration
from embedway_gateway.precision import Precision
from embedway_upstream.loopback import is_loopback

__all__ = ["UpstreamConfig", "require_address"]

# As `embedway_local` reads it; a configuration must be told of its mistakes without that extra.
_DEVICE = r"^(auto|cpu|(cuda|tensorrt)(:(all|\d{1,3}(,\d{1,3})*))?)$"

# What would be taken without a word and never read.
_OF_PLATFORM = {"invoke": "oci", "resource_group": "aicore"}
_OF_HTTP = ("url", "path", "credentials", "pooling", "insecure", *_OF_PLATFORM)


class UpstreamConfig(Strict):
    """One deployment."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Letters, digits and `._-`; shown in headers, metrics and the log."""
    engine: Literal["tei", "ovms", "onnx", "infinity", "vllm", "openai", "litellm", "local"]
    """
    The server software: `onnx` is a `score.py`, `openai` any other with OpenAI's embeddings
    API, `litellm` a hosted provider, `local` this process, or with several workers one beside
    them; a local model embeds, or with `capabilities: [rerank]` reranks.
    """
    platform: Literal["plain", "oci", "aicore"] = "plain"
    """
    What stands in front: nothing (`plain`), OCI Data Science (`oci`) or SAP AI Core (`aicore`).
    """
    url: str | None = None
    """
    The deployment's base, as its platform states it; required but for `local` and `litellm`, of
    which it is the `api_base`.
    """
    invoke: Literal["predict", "route", "suffix"] = "predict"
    """
    Of `oci`: `predict` posts to `{url}/predict`; `route` too, with the engine's path in the
    header `route` (AQUA containers); `suffix` to `{url}/predict` and the engine's path
    (multiple inference endpoints).
    """
    resource_group: str | None = None
    """Of `aicore`; none is what credentials of type `aicore` say, else `default`."""
    pooling: Literal["cls", "mean"] | None = None
    """
    Of `onnx`, where `score.py` answers one vector a token: `cls`, or `mean`, which is exact for
    one text a call only and so sends them one by one.
    """
    path: str | None = Field(default=None, pattern=r"^/")
    """
    What is added to `url`; none is the engine's: `/v1/embeddings` for `tei`, `vllm` and
    `openai`, `/v3/embeddings` for `ovms`, `/embeddings` for `infinity` (`/v1/embeddings` on
    `aicore`), `/predict` for `onnx`. Of a model that only chats: the one route that the
    deployment has, such as `/v1/chat/completions`.
    """
    model: str | None = None
    """
    The name that the server knows; none is the model's own. For `local` the folder or hub name
    to load; required for `litellm`: `provider/model`.
    """
    credentials: str | None = None
    """A name from `credentials`."""
    insecure: bool = False
    """Allows plain `http://` to another machine; to this one it is always allowed."""
    priority: int = Field(default=0, ge=0)
    """Lower first; the next serves when none of a better one can."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Share of the traffic within a priority."""
    max_inputs: Amount | None = None
    """
    Texts in one call; none is the engine's own limit, 32 for `tei` and `onnx`, 4 for `onnx`
    with `pooling: cls`, whose answers are long. Larger requests are cut into pieces, as are
    bodies beyond what engine or platform takes (2 MB for `tei`, 10 MB on `oci`).
    """
    max_concurrency: Amount = 32
    """Calls at once; up to 32 times as many wait, and more are refused with 429."""
    timeout: Duration = 55.0
    """For one attempt."""
    device: Annotated[str, Field(pattern=_DEVICE)] = "auto"
    """
    `local` only: `auto`, `cpu`, `cuda`, `cuda:1`, `cuda:0,1`, `cuda:all` or `tensorrt`; see
    devices.
    """
    precision: Precision = "fp32"
    """
    The number format that it computes in, which decides how exactly its vectors must agree with
    the reference's; `fp32` also where it is not known. Of `local` it is a choice: the model is
    run in it, or not at all.
    """

    @property
    def scorer(self) -> str:
        """
        Whose scores an upstream that reranks gives: those of one model and one scorer can be
        compared. Behind `litellm`, each model is another provider's.
        """
        return f"litellm {self.model}" if self.engine == "litellm" else self.engine

    @model_validator(mode="after")
    def _matches_engine(self) -> Self:
        if self.engine == "local":
            return self._require_here()
        if self._states("device"):
            raise ValueError("device is for engine local: a server has its own; leave it out")
        if self.engine == "litellm":
            return self._require_hosted()
        if self.pooling is not None and self.engine != "onnx":
            raise ValueError("pooling is for engine onnx: the other engines pool themselves")
        if self.platform == "plain":
            self._require_plain()
        elif self.credentials is None:
            raise ValueError(f"platform {self.platform} needs credentials")
        if self.url is None:
            raise ValueError(f"engine {self.engine} needs a url")
        require_address(self.url, insecure=self.insecure)
        return self

    def _states(self, field: str) -> bool:
        """Whether something else than the default is stated, which says nothing wrong."""
        return bool(getattr(self, field) != type(self).model_fields[field].default)

    def _require_here(self) -> Self:
        for field in _OF_HTTP:
            if self._states(field):
                raise ValueError(f"engine local runs in this process and takes no {field}")
        if self.platform != "plain":
            raise ValueError("engine local runs in this process and has no platform")
        return self

    def _require_plain(self) -> None:
        for field, platform in _OF_PLATFORM.items():
            if self._states(field):
                raise ValueError(
                    f"{field} is for platform {platform}: state that platform, or leave it out"
                )

    def _require_hosted(self) -> Self:
        # Imported here: it loads what only a hosted provider needs.
        from embedway_gateway.hosted.provider import require

        require(self.model or "")
        if self.platform != "plain":
            raise ValueError("engine litellm finds the provider itself and has no platform")
        for field in ("path", "pooling", *_OF_PLATFORM):
            if self._states(field):
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
