"""Reads a profile of an OCI configuration file (`~/.oci/config`)."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.place import place_of

__all__ = ["read_file", "read_profile"]


def read_profile(file: str, profile: str, *needed: str) -> Mapping[str, str]:
    """
    The profile's entries, those of `[DEFAULT]` included. Raises `CredentialsError` that names the
    file, the profile or the `needed` entry that is missing.
    """
    text = read_file(file, "the OCI configuration file").decode("utf-8", "replace")
    # No interpolation: a pass phrase may hold a percent sign.
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except ConfigParserError as error:
        # Its words would show the line, which may be the pass phrase.
        raise CredentialsError(
            "the OCI configuration file has a line that is not `name=value`",
            detail=f"{file}, {type(error).__name__}",
        ) from None
    if profile not in parser:
        known = ", ".join(["DEFAULT", *parser.sections()])
        raise CredentialsError(
            "the OCI configuration file has no such profile: check profile",
            detail=f"{profile!r} in {file}, which has {known}",
        )
    entries = dict(parser[profile])
    for name in needed:
        if not entries.get(name):
            raise CredentialsError(
                f"the OCI profile has no {name}: add it, or choose another profile or principal",
                detail=f"{profile!r} in {file}",
            )
    return entries


def read_file(path: str, what: str) -> bytes:
    """A file's bytes; raises `CredentialsError` that says what could not be read."""
    try:
        return Path(path).expanduser().read_bytes()
    # ValueError: what no path can hold, such as a zero byte.
    except (OSError, RuntimeError, ValueError) as error:
        raise CredentialsError(
            f"{what} cannot be read: check that it exists and who may read it",
            detail=f"{place_of(path)}, {type(error).__name__}",
        ) from None
