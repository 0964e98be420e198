"""
Retrieval with LlamaIndex: which passages of the documentation answer a question?

    python examples/rag_llama_index.py "Where are models downloaded from?"
    python examples/rag_llama_index.py --base-url local "Where are models downloaded from?"

Give the index a language model of your choice (`index.as_query_engine(llm=…)`), and it is RAG.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.node_parser import MarkdownNodeParser

from llama_index.embeddings.embedway import EmbedwayEmbedding

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Index the folder, retrieve, print."""
    parser = argparse.ArgumentParser(description="Find passages that answer a question.")
    parser.add_argument("question", nargs="?", default="Where are models downloaded from?")
    parser.add_argument("--base-url", help='the gateway, or "local"; default: EMBEDWAY_BASE_URL')
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--folder", type=Path, default=DOCS, help="Markdown files to search")
    parser.add_argument("--top", type=int, default=3, help="how many passages to print")
    options = parser.parse_args()

    documents = [
        Document(text=path.read_text("utf-8"), metadata={"source": path.name})
        for path in sorted(options.folder.glob("**/*.md"))
    ]
    if not documents:
        sys.exit(f"no Markdown files in {options.folder}")
    index = VectorStoreIndex.from_documents(
        documents,
        embed_model=EmbedwayEmbedding(model=options.model, base_url=options.base_url),
        # One node a section: the model reads 256 tokens, and a page has more.
        transformations=[MarkdownNodeParser()],
    )
    retriever = index.as_retriever(similarity_top_k=options.top)
    print(f"question: {options.question}")
    for place, node in enumerate(retriever.retrieve(options.question), 1):
        heading = node.text.partition("\n")[0].lstrip("# ")
        print(f"\n{place}. {node.metadata['source']} – {heading} (cosine {node.score:.3f})")
        print(node.text[:300])


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - an example ends with a sentence, not a trace
        sys.exit(f"error: {error}")
