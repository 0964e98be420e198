"""EmbedwayRerank: what is LlamaIndex's own, over the client that has its tests elsewhere."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError

from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_local import LocalReranker
from embedway_upstream import UpstreamFailed
from llama_index.postprocessor.embedway import EmbedwayRerank

KEY = "sk-very-secret"
TEXTS = ["one", "two", "three", "four", "five"]
BEST = sorted(range(5), key=lambda i: -relevance("q", TEXTS[i]))
RERANKER = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers" / "bert"

Rank = Callable[..., list[NodeWithScore]]


@pytest.fixture(params=["sync", "async"])
def rank(request: pytest.FixtureRequest) -> Rank:
    if request.param == "sync":
        return EmbedwayRerank.postprocess_nodes

    def run(ranker: EmbedwayRerank, *given: Any, **options: Any) -> list[NodeWithScore]:
        return asyncio.run(ranker.apostprocess_nodes(*given, **options))

    return run


@pytest.fixture
def ranking(server):
    server.vectors = RerankUpstream()
    return server


@pytest.fixture
def nodes():
    return [
        NodeWithScore(node=TextNode(text=text, id_=text), score=0.5 + place / 100)
        for place, text in enumerate(TEXTS)
    ]


def names(found):
    return [one.node.node_id for one in found]


def test_leaves_the_namespace_to_llama_index():
    spec = importlib.util.find_spec("llama_index.postprocessor")
    assert spec is not None
    assert spec.origin is None
    assert issubclass(EmbedwayRerank, BaseNodePostprocessor)
    assert EmbedwayRerank.class_name() == "EmbedwayRerank"


def test_the_best_come_first_and_nothing_given_is_changed(ranking, nodes, rank):
    before = copy.deepcopy(nodes)
    found = rank(EmbedwayRerank("m", base_url=ranking.url), nodes, query_str="q")

    assert names(found) == [TEXTS[i] for i in BEST[:3]]
    assert [one.score for one in found] == [relevance("q", TEXTS[i]) for i in BEST[:3]]
    assert [one.score for one in nodes] == [one.score for one in before]
    assert nodes == before
    assert all(one is not given for one in found for given in nodes)


@pytest.mark.parametrize(("top_n", "most"), [(1, 1), (4, 4), (9, 5), (None, 5)])
def test_top_n(ranking, nodes, rank, top_n, most):
    ranker = EmbedwayRerank("m", base_url=ranking.url, top_n=top_n)

    assert names(rank(ranker, nodes, query_str="q")) == [TEXTS[i] for i in BEST[:most]]


def test_no_nodes_need_no_request_and_no_query_is_an_error(ranking, nodes, rank):
    ranker = EmbedwayRerank("m", base_url=ranking.url)

    assert rank(ranker, [], query_str="q") == []
    assert ranking.requests == 0
    with pytest.raises(ValueError, match="needs the query"):
        rank(ranker, nodes)


def test_an_empty_text_is_a_clear_error(ranking, nodes, rank):
    nodes[2] = NodeWithScore(node=TextNode(text=""), score=1)
    with pytest.raises(ValueError, match=r"documents\[2\] is an empty string"):
        rank(EmbedwayRerank("m", base_url=ranking.url), nodes, query_str="q")


def test_metadata_that_are_for_embedding_are_judged_and_all_are_kept(ranking, rank):
    node = TextNode(
        text="text",
        metadata={"title": "A", "file": "f"},
        excluded_embed_metadata_keys=["file"],
    )
    found = rank(
        EmbedwayRerank("m", base_url=ranking.url),
        [NodeWithScore(node=node, score=0.1)],
        query_str="q",
    )

    assert ranking.bodies[0]["documents"] == ["title: A\n\ntext"]
    assert found[0].node.metadata == {"title": "A", "file": "f"}


def test_the_retrieval_score_can_be_kept_in_a_copy(ranking, nodes, rank):
    ranker = EmbedwayRerank("m", base_url=ranking.url, keep_retrieval_score=True)
    found = rank(ranker, nodes, query_str="q")

    assert found[0].node.metadata == {"retrieval_score": nodes[BEST[0]].score}
    assert all(one.node.metadata == {} for one in nodes)


def test_more_than_a_request_to_a_deployment_takes_is_sent_in_several(ranking, nodes, rank):
    url = ranking.url.removesuffix("/v1")
    ranker = EmbedwayRerank.direct(model="m", url=url, engine="vllm", batch_size=2, top_n=None)

    assert names(rank(ranker, nodes, query_str="q")) == [TEXTS[i] for i in BEST]
    assert ranking.requests == 3


def test_events(ranking, nodes, rank):
    seen = []

    class Remember(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event)

    debug = LlamaDebugHandler(print_trace_on_end=False)
    ranker = EmbedwayRerank(
        "m", base_url=ranking.url, api_key=KEY, callback_manager=CallbackManager([debug])
    )
    dispatcher = get_dispatcher()
    before = list(dispatcher.event_handlers)
    dispatcher.add_event_handler(Remember())
    try:
        found = rank(ranker, nodes, query_str="q")
    finally:
        dispatcher.event_handlers = before
    start, end = (one for one in seen if isinstance(one, ReRankStartEvent | ReRankEndEvent))
    ((first, last),) = debug.get_event_pairs(CBEventType.RERANKING)

    assert (start.query.query_str, start.top_n, start.model_name) == ("q", 3, "m")
    assert (start.nodes, end.nodes) == (nodes, found)
    assert first.payload[EventPayload.QUERY_STR] == "q"
    assert last.payload[EventPayload.NODES] == found
    assert KEY not in repr(seen)


def test_failures_are_those_of_the_client(ranking, nodes, rank):
    ranking.error(500, message="The model broke.")
    with pytest.raises(UpstreamFailed, match=r"The model broke\."):
        rank(EmbedwayRerank("m", base_url=ranking.url, max_retries=0), nodes, query_str="q")


@pytest.mark.parametrize("options", [{"top_n": 0}, {"timeout": -1}, {"batch_size": 0}])
def test_what_cannot_work_is_refused_at_once(options):
    with pytest.raises(ValueError) as caught:
        EmbedwayRerank("m", api_key=KEY, **options)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "twin",
    [
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.copy,
        copy.deepcopy,
        EmbedwayRerank.model_copy,
        lambda m: m.model_copy(update={"batch_size": 2}),
        lambda m: EmbedwayRerank.from_dict(json.loads(m.to_json()), api_key=KEY),
    ],
)
def test_a_copy_works(ranking, nodes, twin):
    ranker = EmbedwayRerank("m", base_url=ranking.url, api_key=KEY, top_n=2)
    found = twin(ranker).postprocess_nodes(nodes, query_str="q")

    assert found == ranker.postprocess_nodes(nodes, query_str="q")
    assert {headers["authorization"] for _, headers in ranking.asked} == {f"Bearer {KEY}"}


def test_nothing_that_is_shown_holds_the_key():
    ranker = EmbedwayRerank("m", api_key=KEY, default_headers={"x-key": KEY})

    assert KEY not in repr(ranker) + str(ranker) + ranker.to_json() + repr(ranker.to_dict())
    with pytest.raises(ValidationError, match="frozen"):
        ranker.model = "n"


async def test_a_deployment_is_asked_without_a_gateway(nodes):
    upstream = RerankUpstream(tei=True)
    with served(upstream) as address:
        ranker = EmbedwayRerank.direct(model="m", url=address, credentials=KEY, top_n=2)
        found = await ranker.apostprocess_nodes(nodes, query_str="q")
        data = json.loads(ranker.to_json())
        for twin in (
            pickle.loads(pickle.dumps(ranker)),
            EmbedwayRerank.from_dict(data, credentials=KEY),
        ):
            assert twin.postprocess_nodes(nodes, query_str="q") == found

    assert names(found) == [TEXTS[i] for i in BEST[:2]]
    assert KEY not in repr(ranker) + repr(data)
    with pytest.raises(TypeError, match=r"call direct\(\) again"):
        ranker.model_copy(update={"timeout": 1})
    with pytest.raises(ValueError, match="does not rerank"):
        EmbedwayRerank.direct(model="m", url=address, engine="openai", credentials=KEY)


def test_in_this_process(nodes, rank):
    with LocalReranker(str(RERANKER)) as local:
        scores = local.score("q", TEXTS).scores
    found = rank(EmbedwayRerank(str(RERANKER), base_url="local"), nodes, query_str="q")
    order = np.argsort(-scores, kind="stable")

    assert names(found) == [TEXTS[i] for i in order[:3]]
    assert [one.score for one in found] == [float(scores[i]) for i in order[:3]]
