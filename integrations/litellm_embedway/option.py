"""What a call of LiteLLM may say, and the client that it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from embedway_client import Client, aicore_credentials, environment
from embedway_upstream import InputType

__all__ = ["FIXED", "Call", "Place", "Setup", "merged", "read"]

_INPUT_TYPES: Mapping[str, InputType] = {
    "query": "query",
    "document": "document",
    "search_query": "query",
    "search_document": "document",
}
_DIRECT = {
    *("engine", "platform", "credentials", "profile", "service_key_file", "invoke"),
    *("resource_group", "pooling", "path", "served_model", "query_prompt", "document_prompt"),
}
_BOTH = {"dimensions", "batch_size", "vector_space", "insecure"}
_GATEWAY = {"accept_space_change"}
_CALL = {"input_type", "encoding_format", "user"}
FIXED = frozenset(_DIRECT | _GATEWAY | {"insecure", "vector_space"})
"""What says where vectors come from, and in which space; the others say what is asked there."""
# Who signs changes no vector.
_LOGIN = {"credentials", "profile", "service_key_file"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one model is, apart from who asks and for what."""

    address: str
    model: str
    options: tuple[tuple[str, str | int | bool], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """What makes one client differ from another; secrets stay out of its repr."""

    model: str
    api_base: str | None
    api_key: str | None = field(repr=False)
    timeout: float
    max_retries: int
    options: tuple[tuple[str, str | int | bool], ...] = field(repr=False)

    @property
    def place(self) -> Place:
        """Whose vectors they are: the address, the model there, and how a deployment is asked."""
        address = (self.api_base or environment.base_url()).rstrip("/")
        asked = tuple(item for item in self.options if item[0] in _DIRECT - _LOGIN)
        return Place(address, self.model, asked)

    @property
    def dimensions(self) -> int | None:
        """What was asked for; None is what the model has."""
        asked = dict(self.options).get("dimensions")
        return asked if isinstance(asked, int) else None

    @property
    def states_space(self) -> bool:
        """Whether the vector space was stated."""
        return "vector_space" in dict(self.options)

    @property
    def accepts_change(self) -> bool:
        """Whether the server is followed into another space."""
        return dict(self.options).get("accept_space_change") is True

    def client(self) -> Client:
        """A new one. Raises `ValueError`, `TypeError` or `ImportError`, as the client does."""
        told = dict(self.options)
        if not told.keys() & _DIRECT:
            # The pool holds the space, for all clients of one model; a stated one, the client.
            if not self.states_space:
                told["accept_space_change"] = True
            return Client(
                self.model,
                base_url=self.api_base,
                api_key=self.api_key,
                timeout=self.timeout,
                max_retries=self.max_retries,
                **told,  # type: ignore[arg-type]
            )
        if wrong := sorted(told.keys() & _GATEWAY):
            raise ValueError(f"{wrong[0]} is for a gateway; a deployment tells no vector space")
        if not self.api_base:
            raise ValueError("a deployment needs api_base, its URL")
        credentials = _credentials(told, self.api_key)
        return Client.direct(
            model=self.model,
            url=self.api_base,
            credentials=credentials,
            timeout=self.timeout,
            max_retries=self.max_retries,
            **told,  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call: whom to ask, and how."""

    setup: Setup
    input_type: InputType
    base64: bool


def read(
    model: str,
    options: Mapping[str, object],
    *,
    api_base: str | None,
    api_key: str | None,
    timeout: float,
    max_retries: int,
) -> Call:
    """Raises `ValueError` for what is unknown or cannot be; nothing is passed over."""
    known = _DIRECT | _BOTH | _GATEWAY | _CALL
    told = merged(options)
    if unknown := sorted(told.keys() - known):
        raise ValueError(
            f"unknown parameter {unknown[0]!r}; possible are {', '.join(sorted(known))}"
        )
    input_type = told.pop("input_type", "document")
    if not isinstance(input_type, str) or input_type not in _INPUT_TYPES:
        raise ValueError('input_type must be "query" or "document" (or "search_query", …)')
    encoding = told.pop("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise ValueError('encoding_format must be "float" or "base64"')
    told.pop("user", None)  # It says who asks, and changes no vector.
    plain = tuple(sorted((name, _plain(name, value)) for name, value in told.items()))
    setup = Setup(model, api_base, api_key, timeout, max_retries, plain)
    return Call(setup, _INPUT_TYPES[input_type], encoding == "base64")


def merged(options: Mapping[str, object]) -> dict[str, object]:
    """The options that are given, those in `extra_body` among them."""
    # LiteLLM puts there what OpenAI's API does not have.
    extra = options.get("extra_body")
    given = {**options, **(extra if isinstance(extra, Mapping) else {})}
    if isinstance(extra, Mapping):
        del given["extra_body"]
    return {str(name): value for name, value in given.items() if value is not None}


def _plain(name: str, value: object) -> str | int | bool:
    if name in ("insecure", "accept_space_change"):
        said = str(value).lower()
        if said not in ("true", "false"):
            raise ValueError(f"{name} must be true or false")
        return said == "true"
    if name in ("dimensions", "batch_size"):
        if isinstance(value, bool) or not str(value).isdecimal() or int(str(value)) < 1:
            raise ValueError(f"{name} must be a whole number of at least 1")
        return int(str(value))
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")  # noqa: TRY004 - one kind for the caller
    return value


def _credentials(told: dict[str, str | int | bool], api_key: str | None) -> object:
    kind = told.pop("credentials", None)
    profile = told.pop("profile", None)
    key_file = told.pop("service_key_file", None)
    if profile is not None and kind != "oci":
        raise ValueError("profile goes with credentials: oci")
    if key_file is not None and kind != "aicore":
        raise ValueError("service_key_file goes with credentials: aicore")
    if kind is None:
        return api_key
    if api_key is not None:
        raise ValueError("give either credentials or api_key")
    if kind == "aicore":
        return aicore_credentials(service_key_file=None if key_file is None else str(key_file))
    if kind == "oci":
        return _oci(str(profile or os.environ.get("OCI_CLI_PROFILE") or "DEFAULT"))
    # Not repeated: somebody may have put a token here.
    raise ValueError("credentials must be oci or aicore; a bearer token goes into api_key")


def _oci(profile: str) -> object:
    try:
        from embedway_upstream.credentials import principal
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; to sign for OCI: pip install "embedway[oci]"',
            name=error.name,
        ) from error

    return principal.api_key(profile=profile)
