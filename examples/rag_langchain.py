"""
Retrieval with LangChain: which passages of the documentation answer a question?

    python examples/rag_langchain.py "Where are models downloaded from?"
    python examples/rag_langchain.py --base-url local "Where are models downloaded from?"

Give what it prints to a language model of your choice, and it is RAG.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_embedway import EmbedwayEmbeddings

DOCS = Path(__file__).parents[1] / "docs"


def passages(folder: Path) -> Iterator[Document]:
    """The sections of all Markdown files, each below its headings."""
    for path in sorted(folder.glob("**/*.md")):
        title, *sections = path.read_text("utf-8").split("\n## ")
        page = title.partition("\n")[0].removeprefix("# ")
        for section in [title.partition("\n")[2], *sections]:
            heading = section.partition("\n")[0].strip()
            text = f"{page}: {section.strip()}"
            yield Document(text, metadata={"source": path.name, "heading": heading or page})


def main() -> None:
    """Index the folder, retrieve, print."""
    parser = argparse.ArgumentParser(description="Find passages that answer a question.")
    parser.add_argument("question", nargs="?", default="Where are models downloaded from?")
    parser.add_argument("--base-url", help='the gateway, or "local"; default: EMBEDWAY_BASE_URL')
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--folder", type=Path, default=DOCS, help="Markdown files to search")
    parser.add_argument("--top", type=int, default=3, help="how many passages to print")
    options = parser.parse_args()

    documents = list(passages(options.folder))
    if not documents:
        sys.exit(f"no Markdown files in {options.folder}")
    store = InMemoryVectorStore(EmbedwayEmbeddings(model=options.model, base_url=options.base_url))
    store.add_documents(documents)
    print(f"{len(documents)} passages; question: {options.question}")
    found = store.similarity_search_with_score(options.question, k=options.top)
    for place, (document, score) in enumerate(found, 1):
        facts = document.metadata
        print(f"\n{place}. {facts['source']} – {facts['heading']} (cosine {score:.3f})")
        print(document.page_content[:300])


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - an example ends with a sentence, not a trace
        sys.exit(f"error: {error}")
