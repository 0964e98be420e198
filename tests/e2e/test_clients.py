"""Stock classes of other libraries work with the gateway, by its address alone."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cohere
import numpy as np
import openai
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from numpy.typing import NDArray

from doubles.gateway_process import GatewayProcess
from doubles.node_client import node_folder, run_node
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
TEXTS = [
    "The mitochondrion makes the cell's energy.",
    "The Danube ends in the Black Sea.",
    "Bread rises because yeast gives off gas.",
]
QUESTION = "Where does the river flow to?"

# None of these classes can be closed; what they leave open is found when it is collected.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Here, and not in a test of something else."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def expected(gateway: GatewayProcess) -> NDArray[np.float32]:
    with openai.OpenAI(base_url=gateway.base_url, api_key="unused") as client:
        answer = client.embeddings.create(model="minilm", input=TEXTS)
    return np.array([item.embedding for item in answer.data], np.float32)


@pytest.fixture(scope="module")
def haystack() -> Iterator[ModuleType]:
    """Without its telemetry, which it looks for when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
        import haystack
        import haystack.components.embedders
        import haystack.components.retrievers.in_memory
        import haystack.document_stores.in_memory
        import haystack.utils

        yield haystack


def options(haystack: ModuleType, base_url: str) -> dict[str, Any]:
    key = haystack.utils.Secret.from_token("unused")
    return {"model": "minilm", "api_base_url": base_url, "api_key": key}


def search(haystack: ModuleType, gateway: GatewayProcess, documents: list[Any]) -> Any:
    """A pipeline over a store with these."""
    store = haystack.document_stores.in_memory.InMemoryDocumentStore(
        embedding_similarity_function="cosine"
    )
    store.write_documents(documents)
    embedder = haystack.components.embedders.OpenAITextEmbedder(
        **options(haystack, gateway.base_url)
    )
    retriever = haystack.components.retrievers.in_memory.InMemoryEmbeddingRetriever(store, top_k=1)
    pipeline = haystack.Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("retriever", retriever)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    return pipeline


async def test_haystack_embeds_and_finds(
    haystack: ModuleType, gateway: GatewayProcess, expected: NDArray[np.float32]
) -> None:
    """In batches of two, so that there is a last one; then again without blocking."""
    embedder = haystack.components.embedders.OpenAIDocumentEmbedder(
        **options(haystack, gateway.base_url), batch_size=2, progress_bar=False
    )
    documents = [haystack.Document(content=text) for text in TEXTS]

    made = embedder.run(documents)
    made_async = await embedder.run_async(documents)
    pipeline = search(haystack, gateway, made["documents"])
    asked = {"embedder": {"text": QUESTION}}
    found = [pipeline.run(asked), await pipeline.run_async(asked)]

    for one in (made, made_async):
        rows = np.array([document.embedding for document in one["documents"]], np.float32)
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
        assert one["meta"]["usage"]["total_tokens"] > len(TEXTS)
    assert [TEXTS[1]] * 2 == [one["retriever"]["documents"][0].content for one in found]


def test_haystack_hides_errors_unless_it_is_told_otherwise(
    haystack: ModuleType, gateway: GatewayProcess
) -> None:
    document = haystack.Document(content="a")
    wrong = {**options(haystack, gateway.base_url), "model": "nothing", "progress_bar": False}
    embedder = haystack.components.embedders.OpenAIDocumentEmbedder

    [hidden] = embedder(**wrong).run([document])["documents"]
    with pytest.raises(openai.NotFoundError, match="Known models"):
        embedder(**wrong, raise_on_failure=True).run([document])

    assert hidden.embedding is None


@pytest.mark.parametrize("kind", [OpenAILikeEmbedding, OpenAIEmbedding, TextEmbeddingsInference])
async def test_llama_index_embeds_and_finds(
    gateway: GatewayProcess, expected: NDArray[np.float32], kind: type[Any]
) -> None:
    if kind is TextEmbeddingsInference:
        model = kind(model_name="minilm", base_url=gateway.root)
    else:
        model = kind(model_name="minilm", api_base=gateway.base_url, api_key="unused")
    index = VectorStoreIndex.from_documents([Document(text=t) for t in TEXTS], embed_model=model)

    rows = model.get_text_embedding_batch(TEXTS)
    rows_async = await model.aget_text_embedding_batch(TEXTS)
    [found] = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)

    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rows_async, expected, rtol=0, atol=1e-6)
    assert TEXTS[1] == found.text


def test_llama_indexs_retries_count_twice() -> None:
    upstream = OpenAIUpstream()
    upstream.faults.extend([(500, {"retry-after-ms": "1"})] * 99)
    with served(upstream) as url:
        model = OpenAILikeEmbedding(
            model_name="m", api_base=f"{url}/v1", api_key="unused", max_retries=2
        )
        with pytest.raises(openai.InternalServerError):
            model.get_text_embedding("a")

    assert 6 == len(upstream.seen)


async def test_hugging_faces_client_gets_the_models_vectors(
    gateway: GatewayProcess, expected: NDArray[np.float32]
) -> None:
    rows = InferenceClient(model=f"{gateway.root}/embed").feature_extraction(TEXTS)  # type: ignore[arg-type]
    async with AsyncInferenceClient(model=f"{gateway.root}/embed") as client:
        rows_async = await client.feature_extraction(TEXTS, prompt_name="query")  # type: ignore[arg-type]

    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rows_async, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def ranker() -> Iterator[str]:
    with served(RerankUpstream()) as url:
        upstreams = [{"name": "up", "engine": "infinity", "url": url}]
        models = [{"name": "ranker", "capabilities": ["rerank"], "upstreams": upstreams}]
        with served(create_app(Config.model_validate({"models": models}))) as root:
            yield root


@pytest.mark.parametrize("kind", [cohere.Client, cohere.ClientV2])
def test_coheres_client_reranks(ranker: str, kind: type[Any]) -> None:
    client = kind(api_key="unused", base_url=ranker)

    answer = client.rerank(model="ranker", query="q", documents=TEXTS, top_n=2)
    with pytest.raises(cohere.NotFoundError):
        client.rerank(model="nothing", query="q", documents=TEXTS)

    scores = sorted((relevance("q", text) for text in TEXTS), reverse=True)[:2]
    assert scores == pytest.approx([result.relevance_score for result in answer.results])
    assert scores[0] == pytest.approx(relevance("q", TEXTS[answer.results[0].index]))


async def test_coheres_async_client_reranks(ranker: str) -> None:
    async with cohere.AsyncClientV2(api_key="unused", base_url=ranker) as client:
        answer = await client.rerank(model="ranker", query="q", documents=TEXTS)

    assert {0, 1, 2} == {result.index for result in answer.results}


def test_the_javascript_of_the_page_runs(
    gateway: GatewayProcess, expected: NDArray[np.float32], tmp_path: Path
) -> None:
    """And the numbers are the same, and errors the client's own."""
    found = re.search(
        r"^```javascript\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found
    shown = found[1].replace("http://127.0.0.1:8080", gateway.root)
    script = node_folder() / f"{tmp_path.parent.name}-{tmp_path.name}.mjs"
    script.write_text(
        f"""{shown}
const again = await client.embeddings.create({{ model: "minilm", input: {TEXTS[0]!r} }});
console.log(again.data[0].embedding.slice(0, 4).join(" "));
try {{
  await client.embeddings.create({{ model: "nothing", input: "a" }});
}} catch (error) {{
  console.log(error instanceof OpenAI.NotFoundError, error.code, error.requestID);
}}
""",
        "utf-8",
    )
    try:
        done = run_node(str(script))
    finally:
        script.unlink()

    assert done.returncode == 0, done.stderr
    sizes, numbers, error = done.stdout.splitlines()
    assert re.findall(r"// → (.+)$", shown, re.MULTILINE) == [sizes]
    np.testing.assert_allclose([float(n) for n in numbers.split()], expected[0, :4], atol=1e-6)
    assert error.startswith("true model_not_found ")
    assert len(error.split()[-1]) == 32
