"""How to talk to one deployment: engines, platforms and credentials, without policy."""

from embedway_upstream.call import HTTPCall, HTTPReply, Transport
from embedway_upstream.credentials.accept import credentials_from
from embedway_upstream.credentials.bearer import Anonymous, Bearer
from embedway_upstream.credentials.credentials import Credentials
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse, InputType, Usage
from embedway_upstream.endpoint import Endpoint
from embedway_upstream.engines.engine import Engine
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.error import (
    BadReply,
    BadVector,
    BatchTooLarge,
    DeadlineExceeded,
    EmbeddingError,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UnknownModel,
    UpstreamDefect,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.platforms.plain import Plain
from embedway_upstream.platforms.platform import Platform
from embedway_upstream.rerank import RerankRequest, RerankResponse, RerankResult
from embedway_upstream.service import Service
from embedway_upstream.upstream import Upstream

__all__ = [
    "Anonymous",
    "BadReply",
    "BadVector",
    "BatchTooLarge",
    "Bearer",
    "Credentials",
    "CredentialsError",
    "DeadlineExceeded",
    "EmbeddingError",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Endpoint",
    "Engine",
    "HTTPCall",
    "HTTPReply",
    "InputTooLong",
    "InputType",
    "InvalidRequest",
    "OpenAI",
    "Overloaded",
    "Plain",
    "Platform",
    "RateLimited",
    "RerankRequest",
    "RerankResponse",
    "RerankResult",
    "Service",
    "Transport",
    "UnknownModel",
    "Upstream",
    "UpstreamDefect",
    "UpstreamError",
    "UpstreamFailed",
    "UpstreamRefused",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "Usage",
    "WrongSpace",
    "credentials_from",
]
