"""
Makes the vectors that ours must equal, with sentence-transformers in fp32.

    python make.py MODEL_FOLDER

needs `sentence-transformers` and the folder of all-MiniLM-L6-v2; writes texts.json and vectors.npy
beside this file. Each text is embedded alone, so that no padding is involved.
"""

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).parent

PROSE = (
    "The harbour was quiet when the ferry left, and the gulls went with it as far as the light. "
    "Nobody on deck spoke of the storm, though all of them had seen the barometer fall. "
)

TEXTS = [
    # short
    "",
    "a",
    "7",
    ".",
    "The",
    "Hello, world!",
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "What is the capital of France?",
    "UPPER CASE AND lower case AnD MiXeD",
    "don't can't won't it's o'clock",
    "state-of-the-art, e.g. 3.14159; i.e. (roughly) 22/7 – or 355/113…",
    # longer than the maximum, and close to it
    PROSE * 3,
    PROSE * 12,
    "word " * 253,
    "word " * 254,
    "word " * 255,
    "word " * 5000,
    "0123456789" * 40,
    # one very long word: the tokenizer gives up above 100 characters
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 20,
    # whitespace
    " ",
    "   \t  \n ",
    "\n\n\n",
    "\u00a0\u2003\u3000",
    "line one\nline two\r\nline three\n\n\nafter a gap",
    "col1\tcol2\tcol3\n1\t2\t3",
    "  leading and trailing  ",
    # control characters
    "before\x00after",
    "\x00",
    "bell\x07 escape\x1b[31mred\x1b[0m delete\x7f",
    "zero\u200bwidth\u200djoiner\ufeffmark",
    # other scripts
    "Grüße aus Köln, wo die Straßenbahn über die Brücke fährt.",
    "Il était une fois, à l'été, un garçon naïf.",
    "Ĺōŕėm ĩþšůɱ đôľœř ŝıť âɱéť",
    "Привет, мир! Как дела?",
    "Καλημέρα κόσμε, τι κάνεις;",
    "השועל החום קופץ מעל הכלב העצלן",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "mixed שלום and مرحبا in one line",
    "नमस्ते दुनिया, आप कैसे हैं?",
    "สวัสดีชาวโลก",
    "今天天气很好，我们去公园散步。",
    "吾輩は猫である。名前はまだ無い。",
    "안녕하세요 세계",
    "𠜎𠜱𠝹𠱓 beyond the first plane",
    # combining marks, composed and not
    unicodedata.normalize("NFC", "café naïve Zürich Ångström"),
    unicodedata.normalize("NFD", "café naïve Zürich Ångström"),
    "Z̷͎͛a̶̻̓l̵̰̈g̸̱̾o̵̧͐",
    "ﬁ ﬂ ligatures, ½ ² ℃ Ⅳ",
    "İstanbul ISPARTA ıspanak",
    # emoji
    "😀",
    "I ❤️ ONNX 🚀🔥 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷",
    "👍🏽 thumbs up 👍",
    # code and markup
    "def f(x: int) -> int:\n    return x ** 2  # square\n",
    "SELECT id, name FROM users WHERE age >= 21 AND name LIKE 'A%';",
    '{"model": "minilm", "input": ["a", "b"], "n": 1e-5, "ok": true}',
    "<html><body><h1>Title</h1><p class='x'>Text &amp; more</p></body></html>",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; } // dot",
    "https://example.com/path?query=1&x=%20y#fragment user@example.com C:\\dir\\file.txt",
    '$ make test && echo "done" | tee /tmp/log 2>&1',
    # numbers
    "1,234,567.89 -0.5e-10 0xDEADBEEF 1/3 50% €99 £1.50 ¥1000 2026-11-20T19:09:00Z",
    "∑_{i=1}^{n} x_i² ≈ √2 · π ≠ ∞ ∀ε>0 ∃δ",
    # what a tokenizer takes for its own
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "##ing ##ed un##believ##able",
]


def main(folder: str) -> None:
    torch.set_grad_enabled(mode=False)
    model = SentenceTransformer(folder, device="cpu")
    vectors = np.concatenate([model.encode([text], convert_to_numpy=True) for text in TEXTS])
    (HERE / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n", "ascii")
    np.save(HERE / "vectors.npy", vectors.astype(np.float32))


if __name__ == "__main__":
    main(sys.argv[1])
