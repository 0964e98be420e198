"""Looks through the file of keys as a gateway would that starts now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from embedway_gateway.access.caller import patterns
from embedway_gateway.access.file import KeysError, KeysFile
from embedway_gateway.access.key import Key
from embedway_gateway.config.schema import Config, ModelConfig
from embedway_gateway.survey.finding import Finding

__all__ = ["look_at_keys"]

_PLACE = "server.keys"
_SHOWN = 5


def look_at_keys(
    config: Config, models: Sequence[ModelConfig], *, now: datetime | None = None
) -> list[Finding]:
    """
    A finding of the file, where there is one, and another of each key with something to be said.

    `models` are those of the configuration and those that were discovered.
    """
    if config.server.keys is None:
        return []
    file = KeysFile(config.server.keys)
    try:
        content = file.content()
    except KeysError as error:
        return [_of_file(str(error))]
    try:
        keys = file.read(content)
    except KeysError as error:
        return [_of_file(f"{_in_a_line(error)}. Correct it: no gateway starts with it")]
    now = now or datetime.now(UTC)
    valid = [key for key in keys if key.state(now) == "valid"]
    notes = (
        (f"everyone on this machine can read it: chmod 600 {file.path}",) if file.exposed else ()
    )
    problem = ""
    if not valid and config.server.oidc is None:
        problem = (
            f"{file.path} has no valid key, and every caller is refused: `embedway keys create "
            f"--name NAME --file {file.path}` makes one"
        )
    found = [Finding(model="", upstream=_PLACE, notes=notes, problem=problem)]
    return found + [_of_key(key, *told) for key, told in _told(keys, valid, config, models, now)]


def _of_file(problem: str) -> Finding:
    return Finding(model="", upstream=_PLACE, problem=problem)


def _of_key(key: Key, problem: str, notes: tuple[str, ...]) -> Finding:
    where = f"{_PLACE}: {key.name} ({key.id})"
    return Finding(model="", upstream=where, notes=notes, problem=problem)


def _in_a_line(error: KeysError) -> str:
    head, *mistakes = str(error).split("\n  ")
    more = [f"and {len(mistakes) - _SHOWN} more"] if len(mistakes) > _SHOWN else []
    return f"{head} {'; '.join([*mistakes[:_SHOWN], *more])}".rstrip()


def _told(
    keys: Sequence[Key],
    valid: Sequence[Key],
    config: Config,
    models: Sequence[ModelConfig],
    now: datetime,
) -> Iterator[tuple[Key, tuple[str, tuple[str, ...]]]]:
    """Keys of which there is something to say: a problem, or notes."""
    holders = {key.name for key in valid}
    known = [(model.name, *model.aliases) for model in models]
    unlike = _unlike(valid)
    for key in keys:
        if key.state(now) == "expired" and key.name not in holders:
            yield key, ("", (_expired(key),))
    for key in valid:
        strangers = _strangers(key, known)
        missing = _missing(strangers, known) if strangers else ""
        notes = [*unlike.get(key.name, ()), *_out_of_reach(key)]
        if missing and config.discovery:
            # A deployment that is not there now may be found later.
            missing, notes = "", [missing, *notes]
        if missing or notes:
            yield key, (missing, tuple(notes))


def _expired(key: Key) -> str:
    assert key.until is not None
    return (
        f"it expired on {key.until.date()}, and {key.name} has no other: `embedway keys create "
        f"--name {key.name}` makes a new one"
    )


def _strangers(key: Key, known: Sequence[Sequence[str]]) -> list[str]:
    """The key's globs that fit no model."""
    names = [name for one in known for name in one]
    found = []
    for glob in key.models:
        pattern = patterns((glob,))
        if pattern is not None and not any(pattern.match(name) for name in names):
            found.append(glob)
    return found


def _missing(globs: Sequence[str], known: Sequence[Sequence[str]]) -> str:
    shown = ", ".join(repr(glob) for glob in globs[:_SHOWN])
    here = ", ".join(repr(one[0]) for one in known[:_SHOWN])
    more = ", …" if len(known) > _SHOWN else ""
    return (
        f"its `models:` allow {shown}, which no model here is called: correct them in the file, or "
        f"add the model. Models here: {here or 'none'}{more}"
    )


def _unlike(valid: Sequence[Key]) -> dict[str, list[str]]:
    """By name, of keys that are counted as one caller."""
    limits = defaultdict(list)
    for key in valid:
        limits[key.name].append(key.allowance)
    return {
        name: [
            (
                f"the {len(of_name)} valid keys of {name!r} have different limits, and are counted "
                "together, each against its own: give all of them the same limits"
            )
        ]
        for name, of_name in limits.items()
        if len(set(of_name)) > 1
    }


def _out_of_reach(key: Key) -> Iterator[str]:
    """A request has at least one text, and a text one token."""
    for field in ("texts_per_minute", "tpm"):
        most = getattr(key, field)
        if key.rpm is not None and most is not None and most < key.rpm:
            yield (
                f"`rpm: {key.rpm}` is never reached, because `{field}: {most}` is used up before: "
                f"raise {field}, or leave rpm out"
            )
