"""Chooses where a model runs: a CUDA card when it really works, else the processor."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_local.alone import Alone
from embedway_local.error import DeviceUnavailable, ModelCorrupt
from embedway_local.gpu.bound import CALLERS
from embedway_local.gpu.cards import Cards
from embedway_local.gpu.cuda import Plan, on_card
from embedway_local.gpu.driver import driver_version, read_driver
from embedway_local.gpu.fault import CardFailed
from embedway_local.gpu.start import Start, memory_limit, ready
from embedway_local.gpu.target import Target, read_target
from embedway_local.gpu.tensorrt import on_tensorrt
from embedway_local.machine import usable_cores
from embedway_local.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_local.gpu.compute import Compute
    from embedway_local.precision import Precision

__all__ = ["Device", "Loaded", "load"]

_log = logging.getLogger("embedway.local")

# "auto", "cpu", "cuda", "cuda:1", "cuda:0,1", "cuda:all", and "tensorrt" like "cuda".
Device: TypeAlias = str

# Padded tokens in one call. On a processor the activations then stay in the second-level cache;
# a card needs many more to be busy.
_CPU_TOKENS = 384
_CUDA_TOKENS = 16_384


# A text that comes alone is computed on several cores, in 0.55 to 0.85 of the time on two. More
# than four are left to others. The second session's weights are memory: 45 MB for MiniLM, but
# hundreds for large models, which do without.
_ALONE_CORES = 4
_ALONE_BYTES = 150_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session, where it runs, and how it is best fed."""

    session: Compute
    device: str
    """"cpu", or the card or cards in the words of `Device`."""
    callers: int
    """How many calls may run at once."""
    tokens: int
    """How many padded tokens one call should hold."""
    precision: Precision = "fp32"
    """In which it runs."""
    alone: Alone | None = None
    """What runs a text that comes alone, where several cores are faster for it than one."""
    squares: int | None = None
    """How many rows times their squared length one call should hold; None for any."""


def load(
    path: Path, device: Device, threads: int | None, *, pad: int = 0, plan: Plan | None = None
) -> Loaded:
    """
    Load a built graph; `threads` bounds the cores used, by default all that this process may use.

    "auto" takes the card when the session that was made really runs there and gives the vectors
    of the processor, and says in one log line what it took and why. Any other device than "cpu"
    raises `DeviceUnavailable` with the cure instead of falling back. `pad` is the token that
    fills a batch's shorter rows; `plan` says how cards are used.
    """
    target, plan = read_target(device), plan or Plan()
    if target.kind == "cpu":
        _require_single(plan, "the processor was asked for")
        _log.info("running on the processor: asked for")
        return _on_cpu(path, threads, pad)
    try:
        loaded, form = _on_cards(path, target, pad, plan)
    except DeviceUnavailable as error:
        if target.kind != "auto":
            raise
        _require_single(plan, error.reason)
        # Where there is no driver nobody misses a card; what failed on one has no other cure.
        missed = not isinstance(error, CardFailed) and driver_version() is not None
        cure = f"; to use the card: {error.cure}" if missed else ""
        _log.info("running on the processor: %s%s", error.reason, cure)
        return _on_cpu(path, threads, pad)
    why = "a card works" if target.kind == "auto" else "asked for"
    _log.info("running on %s: %s (%s)", loaded.device, why, form)
    return loaded


def _require_single(plan: Plan, reason: str) -> None:
    """A precision that was asked for is part of the vector space, and never changed silently."""
    if plan.precision != "fp32":
        raise DeviceUnavailable(
            f"{plan.precision} runs on a CUDA card, and {reason}", 'use precision="fp32"'
        )


def _on_cpu(path: Path, threads: int | None, pad: int) -> Loaded:
    cores = threads or usable_cores()
    # One thread a call and as many calls as cores: no core waits for another within a call, and
    # many callers cannot oversubscribe the machine.
    session = _cpu_session(path, 1, pad)
    alone = None
    if cores > 1 and sum(file.stat().st_size for file in path.parent.iterdir()) <= _ALONE_BYTES:
        alone = Alone(partial(_cpu_session, path, min(cores, _ALONE_CORES), pad))
    return Loaded(session, "cpu", cores, _CPU_TOKENS, alone=alone)


def _cpu_session(path: Path, threads: int, pad: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Stating the number keeps ONNX Runtime from pinning threads, which fails in containers.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads > 1:
        # Idle threads sleep instead of taking the cores from whoever has work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Every batch has another shape, so remembered memory patterns only accumulate.
    options.enable_mem_pattern = False
    # 4: fatal only. It would print what is raised on standard error, too.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # its exceptions share no public class
        raise ModelCorrupt(
            f"{path}: ONNX Runtime cannot load it ({error}); "
            "delete its folder, and it is built again"
        ) from error
    return Session(session, pad=pad)


def _on_cards(path: Path, target: Target, pad: int, plan: Plan) -> tuple[Loaded, str]:
    """The model on the cards, and in which form."""
    start = ready(read_driver, driver_version)
    numbers = start.cards(target.cards)
    # Its memory goes back when the cards have been held against it.
    trusted = _on_cpu(path, 1, pad).session
    # Imported here: `onnx` is for those who build, and for those who have a card.
    from embedway_local.graph.table import measured_rows, table_rows

    plan = replace(plan, rows=table_rows(path) or measured_rows(trusted))
    on = on_tensorrt if target.kind == "tensorrt" else on_card
    cards = [on(path, start, number, plan=plan, trusted=trusted, pad=pad) for number in numbers]
    session = cards[0] if len(cards) == 1 else Cards(cards)
    loaded = Loaded(
        session,
        _told(target),
        CALLERS * len(cards),
        _CUDA_TOKENS,
        plan.precision,
        squares=_squares(start, numbers, plan),
    )
    return loaded, cards[0].form


def _squares(start: Start, cards: tuple[int, ...], plan: Plan) -> int | None:
    """
    What `Loaded.squares` is on these cards: attention's scores take half of the smallest's memory.

    The plain graph has those of all heads in float32, twice, and `CALLERS` calls are under way.
    """
    limits = [memory_limit(start.driver, card, plan.use.memory) for card in cards]
    known = [limit for limit in limits if limit is not None]
    return min(known) // (2 * CALLERS * 2 * 4 * plan.heads) if known else None


def _told(target: Target) -> str:
    kind: Literal["cuda", "tensorrt"] = "tensorrt" if target.kind == "tensorrt" else "cuda"
    if target.cards == (0,):
        return kind
    return f"{kind}:{'all' if target.cards is None else ','.join(map(str, target.cards))}"
