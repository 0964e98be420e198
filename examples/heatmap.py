"""
Three sentences, two of which mean the same: a heat map of their cosine similarities, as a PNG.

    python examples/heatmap.py --out heatmap.png
    python examples/heatmap.py --base-url local "one text" "another" "a third"
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from langchain_embedway import EmbedwayEmbeddings

mpl.use("agg")  # no window, so that it runs on a server
from matplotlib import pyplot as plt

SENTENCES = [
    "The car sped down the highway at an incredible speed.",
    "A vehicle raced along the freeway, moving very fast.",
    "The child was playing in the park with a ball.",
]


def draw(cosines: np.ndarray, labels: list[str], out: Path) -> None:
    """One square a pair, its value written in it."""
    size = len(labels)
    figure, axes = plt.subplots(figsize=(2.5 + size, 1.5 + size), layout="constrained")
    image = axes.imshow(cosines, cmap="coolwarm", vmin=-1, vmax=1)
    for row, column in np.ndindex(size, size):
        axes.text(column, row, f"{cosines[row, column]:.2f}", ha="center", va="center")
    axes.set_xticks(range(size), labels, rotation=45, ha="right")
    axes.set_yticks(range(size), labels)
    axes.set_title("Cosine similarity")
    figure.colorbar(image)
    figure.savefig(out, format="png", dpi=120)
    plt.close(figure)


def main() -> None:
    """Embed, compare, draw."""
    parser = argparse.ArgumentParser(description="Draw the cosine similarities of texts.")
    parser.add_argument("texts", nargs="*", default=SENTENCES)
    parser.add_argument("--base-url", help='the gateway, or "local"; default: EMBEDWAY_BASE_URL')
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--out", type=Path, default=Path("heatmap.png"))
    options = parser.parse_args()

    embeddings = EmbedwayEmbeddings(model=options.model, base_url=options.base_url)
    vectors = np.array(embeddings.embed_documents(options.texts))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    labels = [f"Sentence {number}" for number in range(1, len(options.texts) + 1)]
    for label, row in zip(labels, cosines, strict=True):
        print(label, *(f"{value:6.3f}" for value in row))
    draw(cosines, labels, options.out)
    print(f"written: {options.out}")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - an example ends with a sentence, not a trace
        sys.exit(f"error: {error}")
