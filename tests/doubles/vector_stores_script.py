"""What `vector_stores.py` runs: index, search, print. Reads its task from standard input."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from langchain_embedway import EmbedwayEmbeddings

_MOST = 10


@dataclass(frozen=True)
class Both:
    """One store, as it is asked when one may block and when not; PGVector is for one of them."""

    sync: VectorStore
    asynchronous: VectorStore

    @classmethod
    def of(cls, store: VectorStore) -> Both:
        return cls(store, store)


@contextmanager
def memory(embeddings: EmbedwayEmbeddings, place: Path) -> Iterator[Both]:
    yield Both.of(InMemoryVectorStore(embeddings))


@contextmanager
def faiss(embeddings: EmbedwayEmbeddings, place: Path) -> Iterator[Both]:
    from langchain_community.vectorstores import FAISS

    store = FAISS.from_texts(["a first text makes the index"], embeddings, ids=["first"])
    store.delete(["first"])
    yield Both.of(store)


@contextmanager
def chroma(embeddings: EmbedwayEmbeddings, place: Path) -> Iterator[Both]:
    from langchain_chroma import Chroma

    store = Chroma(
        "passages",
        embedding_function=embeddings,
        persist_directory=str(place),
        collection_metadata={"hnsw:space": "cosine"},
    )
    yield Both.of(store)


@contextmanager
def qdrant(embeddings: EmbedwayEmbeddings, place: Path) -> Iterator[Both]:
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(path=str(place))
    size = len(embeddings.embed_query("how long is a vector?"))
    client.create_collection("passages", VectorParams(size=size, distance=Distance.COSINE))
    yield Both.of(QdrantVectorStore(client, "passages", embeddings))
    client.close()


@contextmanager
def pgvector(embeddings: EmbedwayEmbeddings, place: Path) -> Iterator[Both]:
    import pgserver
    from langchain_postgres import PGVector

    server = pgserver.get_server(place)
    address = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    yield Both(
        PGVector(embeddings, connection=address, collection_name="passages"),
        PGVector(embeddings, connection=address, collection_name="passages", async_mode=True),
    )
    server.cleanup()


STORES = {one.__name__: one for one in (memory, faiss, chroma, qdrant, pgvector)}


def found(task: dict[str, Any], name: str, embeddings: EmbedwayEmbeddings) -> dict[str, Any]:
    place = Path(task["place"]) / name
    place.mkdir()
    with STORES[name](embeddings, place) as store:
        store.sync.add_documents(
            [Document(text, metadata={"id": key}) for key, text in task["corpus"].items()]
        )
        queries = task["queries"].items()

        async def ask() -> list[list[Document]]:
            return [
                await store.asynchronous.asimilarity_search(text, k=_MOST) for _, text in queries
            ]

        answers = {
            "sync": [store.sync.similarity_search(text, k=_MOST) for _, text in queries],
            "async": asyncio.run(ask()),
        }
    return {
        way: {
            key: [document.metadata["id"] for document in documents]
            for (key, _), documents in zip(queries, lists, strict=True)
        }
        for way, lists in answers.items()
    }


def main() -> None:
    task = json.load(sys.stdin)
    embeddings = EmbedwayEmbeddings(model=task["model"], base_url=task["base_url"])
    answer = {name: found(task, name, embeddings) for name in task["stores"]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
