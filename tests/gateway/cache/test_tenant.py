"""What was embedded for one tenant is never told to another."""

from __future__ import annotations

from embedway_gateway.cache.memory import Memory
from embedway_gateway.layers.cache import Cache
from embedway_gateway.metric import Metrics
from embedway_upstream import EmbeddingRequest
from embedway_upstream.testing import FakeEmbedder, fake_vectors


async def test_no_text_reads_what_was_kept_for_another_tenant() -> None:
    inner = FakeEmbedder()
    metrics = Metrics()
    store = Memory(10**7, metrics)
    layer = Cache(inner, store, lambda: "space", metrics, model="m", typed=False)
    await layer.send(EmbeddingRequest("m", ("secret",), tenant="alice"))

    for text in ("secret", "\0\0\0\5alicesecret"):
        response = await layer.send(EmbeddingRequest("m", (text,)))
        assert fake_vectors([text], 8).tolist() == response.vectors.tolist()
    assert 3 == len(inner.requests)
