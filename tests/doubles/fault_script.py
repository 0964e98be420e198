"""What happens in one script of faults: replicas, how they misbehave, and who asks what when."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from doubles.engine_infinity import Infinity
from doubles.engine_openai import OpenAIServer
from doubles.engine_ovms import OVMS
from doubles.engine_server import EngineServer
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM
from doubles.replica import ON_THE_WIRE, Fault
from doubles.spoiled import HARMLESS, SPOILED

__all__ = ["Ask", "Part", "Script", "blames_the_caller", "script_of"]

HTML = b"<html><h1>secret words</h1></html>"
STATUSES: tuple[Fault, ...] = (
    *(204, 302, 400, 401, 403, 404, 408, 409, 413, 422, 424, 429, 500, 502, 503, 504),
    (429, {"retry-after": "0"}, b""),
    (429, {"retry-after": "1"}, HTML),
    (429, {"retry-after": "60"}, b"{}"),
    (500, {"content-type": "text/html"}, HTML),
    (502, {"content-type": "text/html"}, HTML),
    (503, {"retry-after": "1"}, HTML),
    (200, {"content-type": "text/html"}, HTML),
)
FAULTS: tuple[Fault, ...] = (*SPOILED, *HARMLESS, *ON_THE_WIRE, *STATUSES)
PROMPTS = ({}, {"query": "query: ", "document": "passage: "}, {"query": "Find: "})
SEVERAL = 3
WORDS = ("harbour", "Größe", "東京", "a\nb", "bread", "0.5", '"', "é", "queue", "\\", "SELECT")


def blames_the_caller(fault: Fault) -> bool:
    """Whether a 400 may be the answer."""
    return (fault[0] if isinstance(fault, tuple) else fault) in {400, 408, 409, 413, 422, 424}


@dataclass(frozen=True)
class Part:
    """
    One replica. `share` of its calls meet one of `faults`. Before step `leaves` it is gone, until
    two steps later. From step `turns` on it fails, and comes back with `salt`.
    """

    engine: str
    server: EngineServer
    given: Mapping[str, Any]
    faults: tuple[Fault, ...]
    share: float
    salt: str = ""
    foreign: bool = False
    turns: int | None = None
    leaves: int | None = None


@dataclass(frozen=True)
class Ask:
    """A request; who asks `gives_up` after that many seconds."""

    inputs: tuple[str, ...]
    input_type: str = "document"
    base64: bool = True
    dimensions: int | None = None
    gives_up: float | None = None


@dataclass(frozen=True)
class Script:
    """`steps` are one after the other, what is in one of them at once."""

    seed: int
    parts: tuple[Part, ...]
    model: Mapping[str, Any]
    more: Mapping[str, Any]
    prompts: Mapping[str, str]
    steps: tuple[tuple[Ask, ...], ...]
    reference: int
    dimensions: int
    dice: random.Random = field(compare=False, repr=False)

    @property
    def changes(self) -> bool:
        """Whether some replica is, or becomes, another model."""
        return any(part.salt for part in self.parts)

    def config(self, urls: list[str]) -> dict[str, Any]:
        """What the gateway is told; the replicas are `r0`, `r1`, …"""
        upstreams = [
            {"name": f"r{number}", "engine": part.engine, "url": url, **part.given}
            for number, (part, url) in enumerate(zip(self.parts, urls, strict=True))
        ]
        model = {"name": "m", "dimensions": self.dimensions, "prompts": self.prompts, **self.model}
        return {"models": [{**model, "upstreams": upstreams}], **self.more}


def script_of(seed: int) -> Script:
    """Always the same one for a seed."""
    dice = random.Random(seed)
    count = dice.randint(1, 3)
    steps = dice.randint(3, 6)
    dimensions = dice.choice((8, 16))
    parts = [_part(dice, dimensions, steps) for _ in range(count)]
    reference = min(range(count), key=lambda n: parts[n].given["priority"])
    parts = [
        _changed(dice, part, n, steps, is_first=n == reference) for n, part in enumerate(parts)
    ]
    model: dict[str, Any] = {"matryoshka": dice.choice(((), (4,)))}
    if any(part.salt for part in parts) or dice.random() < 0.3:
        # Without it the next one defines the space while the first cannot be reached.
        model["reference"] = f"r{reference}"
    return Script(
        seed=seed,
        parts=tuple(parts),
        model=model,
        more=_surroundings(dice),
        prompts=dice.choice(PROMPTS),
        steps=tuple(_step(dice, dimensions, model["matryoshka"]) for _ in range(steps)),
        reference=reference,
        dimensions=dimensions,
        dice=random.Random(seed + 1),
    )


def _surroundings(dice: random.Random) -> dict[str, Any]:
    routing = {
        "attempts": dice.randint(1, 4),
        "hedge": dice.random() < 0.7,
        "hedge_quantile": dice.choice((0.5, 0.95)),
        "breaker_failures": dice.choice((1, 5)),
        "breaker_rest": dice.choice(("10ms", "5s")),
    }
    more: dict[str, Any] = {"server": {"request_timeout": "4s"}, "routing": routing}
    if dice.random() < 0.5:
        more["cache"] = {"type": "memory", "max_bytes": dice.choice((4_096, 10_000_000))}
    return more


def _engines(dice: random.Random, size: int) -> tuple[str, EngineServer]:
    floats = dice.random() < 0.2
    makers: Mapping[str, Callable[[], EngineServer]] = {
        "openai": lambda: OpenAIServer(dimensions=size, floats=floats, max_tokens=512),
        "tei": lambda: TEI(
            dimensions=size,
            floats=floats,
            version=dice.choice(("1.5.0", "1.8.3", "1.9.3")),
            max_client_batch_size=dice.choice((4, 32)),
        ),
        "vllm": lambda: VLLM(
            dimensions=size, floats=floats, version=dice.choice(("0.10.0", "0.33.0"))
        ),
        "infinity": lambda: Infinity(dimensions=size, floats=floats),
        "ovms": lambda: OVMS(dimensions=size, floats=floats),
    }
    name = dice.choice(list(makers))
    return name, makers[name]()


def _part(dice: random.Random, dimensions: int, steps: int) -> Part:
    name, server = _engines(dice, dimensions)
    given = {
        "model": server.model,
        "priority": dice.choice((0, 0, 1)),
        "weight": dice.choice((1, 1, 5)),
        "timeout": dice.choice(("150ms", "400ms")),
        "max_concurrency": dice.choice((1, 4, 32)),
    }
    if dice.random() < 0.5:
        given["max_inputs"] = dice.choice((1, 3, 16, 32))
    return Part(
        engine=name,
        server=server,
        given=given,
        faults=tuple(dice.sample(FAULTS, dice.choice((1, 3, 12)))),
        share=dice.choice((0.0, 0.1, 0.3, 0.6, 1.0)),
        leaves=dice.randrange(steps) if dice.random() < 0.2 else None,
    )


def _changed(dice: random.Random, part: Part, number: int, steps: int, *, is_first: bool) -> Part:
    """Some replicas are of another model, or become one."""
    salt = f"another model {number}: "
    chance = dice.random()
    if chance < 0.15 and not is_first:
        part.server.salt = salt
        return Part(**{**vars(part), "salt": salt, "foreign": True})
    if chance < 0.35:
        return Part(**{**vars(part), "salt": salt, "turns": dice.randrange(1, steps)})
    return part


def _step(dice: random.Random, dimensions: int, matryoshka: tuple[int, ...]) -> tuple[Ask, ...]:
    texts = [f"{dice.choice(WORDS)} {dice.randrange(60)} {dice.choice(WORDS)}" for _ in range(90)]
    return tuple(
        Ask(
            inputs=tuple(dice.choices(texts, k=dice.choice((1, 1, SEVERAL, dice.randint(1, 70))))),
            input_type=dice.choice(("query", "document")),
            base64=dice.random() < 0.5,
            dimensions=dice.choice((None, None, dimensions, *matryoshka)),
            gives_up=dice.random() * 0.1 if dice.random() < 0.08 else None,
        )
        for _ in range(dice.choice((1, 2, 6, 12)))
    )
