"""Row i belongs to text i, whatever the batch size, the workers, and the order of the answers."""

from __future__ import annotations

import asyncio
from itertools import cycle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from llama_index.core.storage.kvstore import SimpleKVStore

from doubles.openai_upstream import OpenAIUpstream
from embedway_upstream import InvalidRequest
from embedway_upstream.testing import fake_vectors
from llama_index.embeddings.embedway import EmbedwayEmbedding


class Disorderly(OpenAIUpstream):
    """Numbers the vectors rightly and sends the last first; every third request takes longest."""

    def __init__(self):
        super().__init__()
        self.turns = cycle([0.004, 0.002, 0.0])

    @property
    def delay(self):
        return next(self.turns)

    @delay.setter
    def delay(self, value):
        pass

    def _body(self, request, fault):
        return super()._body(request, "shuffled")


TEXTS = some.lists(some.text(min_size=1, max_size=3), max_size=20)


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=TEXTS,
    batch_size=some.integers(1, 25),
    workers=some.one_of(some.none(), some.integers(1, 6)),
    use_async=some.booleans(),
)
def test_row_i_belongs_to_text_i(stage, cached, texts, batch_size, workers, use_async):
    stage.app = Disorderly()
    model = EmbedwayEmbedding(
        "m",
        base_url=f"{stage.address}/v1",
        embed_batch_size=batch_size,
        num_workers=workers,
        embeddings_cache=SimpleKVStore() if cached else None,
    )
    for _ in range(2 if cached else 1):
        if use_async:
            found = asyncio.run(model.aget_text_embedding_batch(texts))
        else:
            found = model.get_text_embedding_batch(texts)
        assert np.array_equal(np.float32(found).reshape(-1, 8), fake_vectors(texts, 8))


async def test_the_first_error_ends_the_other_requests(server):
    server.vectors.faults.extend([400, "hang", "hang"])
    model = EmbedwayEmbedding("m", base_url=server.url, batch_size=1, num_workers=3)
    with pytest.raises(InvalidRequest):
        await asyncio.wait_for(model.aget_text_embedding_batch(["a", "b", "c", "d"]), 20)

    assert len(asyncio.all_tasks()) == 1


def test_the_batch_size_may_be_changed_as_the_framework_does(server):
    model = EmbedwayEmbedding("m", base_url=server.url)
    model.embed_batch_size = 2
    model.get_text_embedding_batch(list("abc"), show_progress=False)

    assert [len(body["input"]) for body in server.bodies] == [2, 1]


async def test_progress_is_shown(server, capsys):
    model = EmbedwayEmbedding("m", base_url=server.url, batch_size=2)
    model.get_text_embedding_batch(list("abc"), show_progress=True)
    await model.aget_text_embedding_batch(list("abc"), show_progress=True)

    assert capsys.readouterr().err.count("3/3") >= 2


@pytest.mark.parametrize("texts", ["one string", b"bytes"])
async def test_one_string_is_no_list_of_texts(texts):
    model = EmbedwayEmbedding("m")
    with pytest.raises(TypeError, match="one string"):
        model.get_text_embedding_batch(texts)
    with pytest.raises(TypeError, match="one string"):
        await model.aget_text_embedding_batch(texts)
