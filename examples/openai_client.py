"""
The OpenAI client against the gateway: as floats, and as base64, which is four times smaller.

    python examples/openai_client.py "a text" "another text"
"""

from __future__ import annotations

import argparse
import base64
import os
import sys

import numpy as np
from openai import OpenAI


def main() -> None:
    """Embed the texts both ways and compare."""
    parser = argparse.ArgumentParser(description="Embed texts with the OpenAI client.")
    parser.add_argument("texts", nargs="*", default=["a first text", "and a second one"])
    parser.add_argument(
        "--base-url", default=os.environ.get("EMBEDWAY_BASE_URL") or "http://127.0.0.1:8080/v1"
    )
    parser.add_argument("--model", default="minilm")
    options = parser.parse_args()

    # The client insists on a key; a gateway on this machine wants none.
    key = os.environ.get("EMBEDWAY_API_KEY") or "unused"
    with OpenAI(base_url=options.base_url, api_key=key) as client:
        floats = client.embeddings.create(
            model=options.model, input=options.texts, encoding_format="float"
        )
        packed = client.embeddings.create(
            model=options.model, input=options.texts, encoding_format="base64"
        )

    for one, other in zip(floats.data, packed.data, strict=True):
        vector = np.array(one.embedding, dtype=np.float32)
        # Asked for base64 outright, the client leaves it as it came, whatever its types say.
        same = np.frombuffer(base64.b64decode(str(other.embedding)), dtype="<f4")
        print(
            f"text {one.index}: {vector.size} dimensions, length {np.linalg.norm(vector):.4f}, "
            f"largest difference {np.abs(vector - same).max():.1e}"
        )
    print(f"model {floats.model}, {floats.usage.total_tokens} tokens")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001 - an example ends with a sentence, not a trace
        sys.exit(f"error: {error}")
