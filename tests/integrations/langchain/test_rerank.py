"""EmbedwayRerank: what is LangChain's own, over the client that has its tests elsewhere."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError

from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_upstream import UpstreamFailed
from langchain_embedway import EmbedwayRerank

KEY = "sk-very-secret"
TEXTS = ["one", "two", "three", "four", "five"]
BEST = sorted(range(5), key=lambda i: -relevance("q", TEXTS[i]))
RERANKERS = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers"


@pytest.fixture
def ranking(server):
    server.vectors = RerankUpstream()
    return server


@pytest.fixture
def documents():
    return [Document(text, id=text, metadata={"list": [text]}) for text in TEXTS]


async def test_the_best_come_first_with_their_scores_and_nothing_given_is_changed(
    ranking, documents
):
    before = copy.deepcopy(documents)
    compressor = EmbedwayRerank(model="m", base_url=ranking.url)
    found = compressor.compress_documents(documents, "q")
    again = await compressor.acompress_documents(documents, "q")

    assert isinstance(compressor, BaseDocumentCompressor)
    assert [document.id for document in found] == [TEXTS[i] for i in BEST[:3]]
    assert [d.metadata["relevance_score"] for d in found] == [
        relevance("q", TEXTS[i]) for i in BEST[:3]
    ]
    assert again == found
    found[0].metadata["list"].append("changed")
    assert documents == before


async def test_rerank_gives_numbers_and_scores_as_coheres_class_does(ranking, documents):
    reranker = EmbedwayRerank(model="m", base_url=ranking.url, top_n=2)
    ranked = [{"index": i, "relevance_score": relevance("q", TEXTS[i])} for i in BEST]

    assert reranker.rerank(TEXTS, "q") == ranked[:2]
    assert reranker.rerank(documents, "q", top_n=1) == ranked[:1]
    assert reranker.rerank(TEXTS, "q", top_n=None) == ranked
    assert await reranker.arerank(TEXTS, query="q", top_n=4) == ranked[:4]
    assert reranker.rerank([], "q") == []
    with pytest.raises(TypeError, match="one string"):
        reranker.rerank("one", "q")
    with pytest.raises(ValueError, match="top_n=0"):
        reranker.rerank(TEXTS, "q", top_n=0)


class Everything(BaseRetriever):
    """Finds all there is."""

    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


async def test_it_works_in_a_contextual_compression_retriever(ranking, documents):
    retriever = ContextualCompressionRetriever(
        base_retriever=Everything(documents=documents),
        base_compressor=EmbedwayRerank(model="m", base_url=ranking.url, top_n=2),
    )
    expected = [TEXTS[i] for i in BEST[:2]]

    assert [document.page_content for document in retriever.invoke("q")] == expected
    assert [document.page_content for document in await retriever.ainvoke("q")] == expected


@pytest.mark.parametrize(
    "twin",
    [
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.copy,
        copy.deepcopy,
        EmbedwayRerank.model_copy,
        lambda m: m.model_copy(update={"batch_size": 2}),
    ],
)
def test_a_copy_works(ranking, twin):
    reranker = EmbedwayRerank(model="m", base_url=ranking.url, api_key=KEY)

    assert twin(reranker).rerank(TEXTS, "q") == reranker.rerank(TEXTS, "q")
    assert {headers["authorization"] for _, headers in ranking.asked} == {f"Bearer {KEY}"}


def test_nothing_that_is_shown_holds_the_key():
    reranker = EmbedwayRerank(model="m", api_key=KEY, default_headers={"x-key": KEY})

    assert KEY not in repr(reranker) + repr(reranker.model_dump()) + reranker.model_dump_json()


@pytest.mark.parametrize("options", [{"top_n": 0}, {"modell": "m"}, {"dimensions": 3}])
def test_what_cannot_work_is_refused_at_once(options):
    with pytest.raises(ValidationError):
        EmbedwayRerank(model="m", **options)


def test_failures_are_those_of_the_client(ranking):
    ranking.error(500, message="The model broke.")
    reranker = EmbedwayRerank(model="m", base_url=ranking.url, max_retries=0)
    with pytest.raises(UpstreamFailed, match=r"The model broke\."):
        reranker.rerank(TEXTS, "q")


def test_the_environment_can_say_everything(monkeypatch):
    with pytest.raises(ValueError, match="EMBEDWAY_RERANK_MODEL is not set"):
        EmbedwayRerank.from_env()
    monkeypatch.setenv("EMBEDWAY_MODEL", "minilm")
    monkeypatch.setenv("EMBEDWAY_RERANK_MODEL", "reranker")
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    monkeypatch.setenv("EMBEDWAY_TOP_N", "7")
    reranker = EmbedwayRerank.from_env()

    assert (reranker.model, reranker.top_n) == ("reranker", 7)
    assert reranker.api_key.get_secret_value() == KEY


async def test_a_deployment_is_asked_without_a_gateway(documents):
    upstream = RerankUpstream(tei=True)
    with served(upstream) as address:
        reranker = EmbedwayRerank.direct(model="m", url=address, credentials=KEY, top_n=2)
        found = await reranker.acompress_documents(documents, "q")
        twin = pickle.loads(pickle.dumps(reranker))
        assert twin.rerank(TEXTS, "q") == reranker.rerank(TEXTS, "q")

    assert [document.page_content for document in found] == [TEXTS[i] for i in BEST[:2]]
    assert set(upstream.paths) == {"/rerank"}
    assert KEY not in repr(reranker) + repr(reranker.model_dump())
    with pytest.raises(TypeError, match=r"call direct\(\) again"):
        reranker.model_copy(update={"top_n": 1})


@pytest.mark.parametrize(
    ("options", "words"),
    [({"engine": "onnx"}, "does not rerank"), ({"top_n": 0}, "top_n=0")],
)
def test_a_deployment_that_cannot_rerank_is_refused_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        EmbedwayRerank.direct(model="m", url="http://127.0.0.1:1", **options)


def test_in_this_process(tmp_path, monkeypatch, documents):
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    reranker = EmbedwayRerank(model=str(RERANKERS / "bert"), base_url="local", top_n=None)
    found = reranker.compress_documents(documents, "what comes first?")

    scores = [document.metadata["relevance_score"] for document in found]
    assert sorted(document.page_content for document in found) == sorted(TEXTS)
    assert scores == sorted(scores, reverse=True)
