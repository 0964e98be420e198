"""Long answers are written in turns with everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import numpy as np
import orjson
import pytest

from embedway_gateway.web.writer import (
    write_embeddings,
    write_embeddings_in_turns,
    write_rows_in_turns,
)
from embedway_upstream import EmbeddingResponse, Usage


def response(rows: int) -> EmbeddingResponse:
    vectors = np.random.default_rng(0).standard_normal((rows, 384), np.float32)
    return EmbeddingResponse("m", vectors, Usage(1, 2), "up")


async def turns_during(written: Awaitable[bytes]) -> tuple[bytes, int]:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    body = await written
    task.cancel()
    return body, turns


@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 170, 171, 2048])
async def test_a_long_answer_is_the_same_and_lets_others_have_their_turn(
    rows: int, *, base64: bool
) -> None:
    whole = response(rows)
    body, turns = await turns_during(write_embeddings_in_turns(whole, model="m", base64=base64))

    assert body == write_embeddings(whole, model="m", base64=base64)
    assert turns >= rows * 384 // 2**16


@pytest.mark.parametrize("rows", [0, 1, 170, 171, 2048])
async def test_rows_alone_are_written_so_too(rows: int) -> None:
    vectors = response(rows).vectors
    body, turns = await turns_during(write_rows_in_turns(vectors))

    assert body == orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
    assert turns >= rows * 384 // 2**16
