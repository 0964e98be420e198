"""Whatever comes, leaves, fails and ends, in whatever order: each has its own answer or error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.held import Call, Held, Task, World, require_clean, settle, vector
from embedway_gateway.layers.bound import Bounds
from embedway_upstream import (
    DeadlineExceeded,
    EmbeddingRequest,
    EmbeddingResponse,
    InputType,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UpstreamDefect,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.platforms.error import AmbiguousFailure, PlatformLimited

TEXTS = [letter * (1 + number % 5) for number, letter in enumerate("abcdefghijkl")]
ERRORS: list[Callable[[], Exception]] = [
    lambda: UpstreamFailed("failed"),
    lambda: UpstreamDefect("defect"),
    lambda: AmbiguousFailure("ambiguous"),
    lambda: RateLimited("limited"),
    lambda: PlatformLimited("limited", scope="deployment"),
    lambda: Overloaded("full"),
    lambda: DeadlineExceeded("late"),
    lambda: ArithmeticError("a bug"),
]
BOUNDS = st.builds(
    Bounds,
    max_inputs=st.none() | st.integers(1, 6),
    max_bytes=st.none() | st.integers(4100, 4130),
    max_text=st.none() | st.integers(3, 20),
)


class Watched(Held):
    """Sees that no text is asked for twice at once, and that calls are within bounds."""

    def __init__(self, poison: set[str]) -> None:
        super().__init__(poison)
        self.bounds = Bounds()
        self.failed: list[tuple[Call, Exception]] = []
        self._asked: dict[tuple[InputType, str], asyncio.Task[Any]] = {}

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        texts = {(request.input_type, text) for text in request.inputs}
        assert len(texts) == len(request.inputs) > 0
        assert len(request.inputs) == self.bounds.texts_that_fit(request.inputs)
        # A call that is hung up on ends in the next turn of the loop.
        assert all(self._asked[text].cancelling() for text in texts & self._asked.keys())
        task = asyncio.current_task()
        assert task is not None
        self._asked.update(dict.fromkeys(texts, task))
        try:
            return await super().send(request)
        finally:
            for text in texts:
                if self._asked[text] is task:
                    del self._asked[text]


@dataclass
class Asked:
    texts: tuple[str, ...]
    kind: InputType
    task: Task
    left: bool = False


class Play:
    """Does at random what can happen."""

    def __init__(self, dice: Random, bounds: Bounds, slots: int, poison: set[str]) -> None:
        self.dice = dice
        self.world = World(slots)
        self.inner = Watched(poison)
        self.world.layer._inner = self.inner
        self.world.room.held = self.inner.bounds = bounds
        self.asked: list[Asked] = []

    def ask(self) -> None:
        count = self.dice.choice([1, 1, 1, 2, 3, 8])
        texts = tuple(self.dice.choices(TEXTS, k=count))
        kind: InputType = self.dice.choice(["query", "document"])
        deadline = self.dice.choice([None, None, self.world.time.now + self.dice.uniform(1, 100)])
        task = self.world.ask(*texts, kind=kind, deadline=deadline)
        self.asked.append(Asked(texts, kind, task))

    def leave(self) -> None:
        if self.asked:
            one = self.dice.choice(self.asked)
            one.left |= one.task.cancel()

    def answer(self) -> None:
        self._end(lambda call: call.answer())

    def fail(self) -> None:
        def fail(call: Call) -> None:
            error = self.dice.choice(ERRORS)()
            self.inner.failed.append((call, error))
            call.fail(error)

        self._end(fail)

    def change_slots(self) -> None:
        self.world.room.most = self.dice.randint(1, 4)

    def _end(self, how: Callable[[Call], None]) -> None:
        held = [call for call in self.inner.running if not call.end.done()]
        if held:
            how(self.dice.choice(held))

    async def run(self, steps: int) -> None:
        doings = [self.ask] * 6 + [self.leave] * 2 + [self.answer] * 4 + [self.fail]
        doings.append(self.change_slots)
        for _ in range(steps):
            self.dice.choice(doings)()
            for _ in range(self.dice.choice([0, 0, 0, 1, 1, 2, 8])):
                await asyncio.sleep(0)
        await self.inner.answer_all()
        await settle()

    def judge(self) -> None:
        for one in self.asked:
            assert one.task.done(), "somebody waits for ever"
            if one.left:
                # It may have had its answer in the same moment.
                assert one.task.cancelled() or one.task.exception() or one.task.result()
            elif (error := one.task.exception()) is not None:
                self._require_own_error(one, error)
            else:
                found = one.task.result().vectors
                np.testing.assert_array_equal([vector(text) for text in one.texts], found)
                assert not self.inner.poison or not set(one.texts) & set(self.inner.poison)

    def _require_own_error(self, one: Asked, error: BaseException) -> None:
        if type(error) is InvalidRequest:
            assert set(one.texts) & set(self.inner.poison)
            return
        theirs = [
            type(failure)
            for call, failure in self.inner.failed
            if set(call.inputs) & set(one.texts) and call.request.input_type == one.kind
        ]
        assert type(error) in theirs


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    bounds=BOUNDS,
    slots=st.integers(1, 4),
    poison=st.sets(st.sampled_from(TEXTS), max_size=2),
    steps=st.integers(1, 80),
)
def test_each_caller_has_the_vectors_of_its_own_texts_or_an_error_of_its_own(
    seed: int, bounds: Bounds, slots: int, poison: set[str], steps: int
) -> None:
    complaints: list[Any] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        one = Play(Random(seed), bounds, slots, poison)
        await one.run(steps)
        one.judge()
        require_clean(one.world)

    asyncio.run(play())

    assert [] == complaints


@settings(deadline=None, max_examples=50)
@given(
    requests=st.lists(
        st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8), min_size=1, max_size=12
    ),
    bounds=BOUNDS,
    slots=st.integers(1, 3),
)
def test_cutting_and_joining_changes_no_answer(
    requests: list[list[str]], bounds: Bounds, slots: int
) -> None:
    async def play() -> tuple[list[EmbeddingResponse], int]:
        world = World(slots)
        world.room.held = bounds
        tasks = [world.ask(*texts) for texts in requests]
        await world.inner.answer_all()
        return [await task for task in tasks], len(world.inner.calls)

    answers, calls = asyncio.run(play())

    assert calls <= len(TEXTS) + len(requests)
    for texts, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal([vector(text) for text in texts], answer.vectors)
        assert 0 <= answer.usage.total_tokens


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=10),
    total=st.integers(0, 10_000),
    seed=st.integers(0, 2**32),
)
def test_tokens_of_a_call_add_up_over_its_callers(sizes: list[int], total: int, seed: int) -> None:
    async def play() -> int:
        world = World(max_inputs=1000)
        await world.busy()
        dice = Random(seed)
        tasks = [
            world.ask(*(f"{number} {place}" * dice.randint(1, 9) for place in range(size)))
            for number, size in enumerate(sizes)
        ]
        await settle()
        world.inner.running[0].answer()
        await settle()
        world.inner.running[0].answer(usage=Usage(total, total))
        return sum([(await task).usage.total_tokens for task in tasks])

    assert total == asyncio.run(play())
