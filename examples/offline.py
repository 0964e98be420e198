"""
Semantic search in this process, with no gateway and no network.

    embedway models pull sentence-transformers/all-MiniLM-L6-v2    # once, with a network
    python examples/offline.py "Which animal makes something sweet?"
"""

from __future__ import annotations

import argparse
import os
import sys

# Before the first import that reads it. What is not on this machine is then not asked for.
os.environ["HF_HUB_OFFLINE"] = "1"

from embedway_local import DEFAULT_MODEL, LocalEmbedder

TEXTS = [
    "Bees visit flowers and make honey.",
    "Rust forms when iron meets water and air.",
    "The committee postponed its decision until spring.",
    "Glaciers carve valleys as they move.",
    "A violin has four strings, tuned in fifths.",
]


def main() -> None:
    """Embed the texts and the question, and rank."""
    parser = argparse.ArgumentParser(description="Rank five sentences by a question, offline.")
    parser.add_argument("question", nargs="?", default="Which animal makes something sweet?")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a folder, or a name in the store")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options = parser.parse_args()

    with LocalEmbedder(options.model, device=options.device) as embedder:
        documents = embedder.embed(TEXTS)
        question = embedder.embed([options.question], input_type="query")[0]
        print(f"{options.model} on {embedder.device}: {embedder.dimensions} dimensions")
    # Vectors have unit length, so a dot product is a cosine.
    cosines = documents @ question
    for index in cosines.argsort()[::-1]:
        print(f"{cosines[index]:6.3f}  {TEXTS[index]}")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - an example ends with a sentence, not a trace
        sys.exit(f"error: {error}")
