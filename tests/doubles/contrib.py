"""What ONNX Runtime's own operators are documented to do, in numpy: for kernels only cards have.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from onnx.reference.op_run import OpRun

__all__ = ["OPERATORS"]

DOMAIN = "com.microsoft"


class SkipLayerNormalization(OpRun):
    op_domain = DOMAIN

    def _run(self, x, skip, gamma, beta, bias=None, epsilon=1e-12):
        # Sums in single precision, as the kernel's strict mode has it.
        whole = x.astype(np.float32) + skip + (0 if bias is None else bias)
        middle = whole.mean(-1, keepdims=True)
        spread = ((whole - middle) ** 2).mean(-1, keepdims=True)
        return ((((whole - middle) / np.sqrt(spread + epsilon)) * gamma + beta).astype(x.dtype),)


class BiasGelu(OpRun):
    op_domain = DOMAIN

    def _run(self, x, bias):
        whole = (x + bias).astype(np.float64)
        erf = np.vectorize(math.erf)(whole / math.sqrt(2))
        return ((whole * 0.5 * (1 + erf)).astype(x.dtype),)


class FastGelu(OpRun):
    op_domain = DOMAIN

    def _run(self, x, bias=None):
        whole = x if bias is None else x + bias
        wide = whole.astype(np.float64)
        curve = np.tanh(0.797885 * wide + 0.035677 * wide**3)
        return ((0.5 * wide * (1 + curve)).astype(x.dtype),)


class PackedMultiHeadAttention(OpRun):
    op_domain = DOMAIN

    def _run(
        self, query, key, value, bias, offsets, cumulative, extra=None, num_heads=None, scale=None
    ):
        """`query` is (tokens, heads, 3, size); each text attends to itself alone."""
        assert key is None
        assert value is None
        assert bias is None
        assert query.ndim == 4
        assert query.shape[1] == num_heads
        assert len(cumulative) == len(offsets) + 1
        real = offsets.reshape(-1)[: len(query)]
        # A place in the padded grid tells its text, which must be the one that `cumulative` tells.
        texts = np.repeat(np.arange(len(offsets)), np.diff(cumulative))
        assert (real // offsets.shape[1] == texts).all()
        assert sorted(offsets.reshape(-1)) == list(range(offsets.size))
        out = np.zeros((len(query), num_heads, query.shape[3]), np.float32)
        wide = query.astype(np.float32)
        for start, end in pairwise(cumulative):
            q, k, v = (wide[start:end, :, part].swapaxes(0, 1) for part in range(3))
            scores = q @ k.swapaxes(1, 2) * (scale or 1 / math.sqrt(query.shape[3]))
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            out[start:end] = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1)
        return (out.reshape(len(query), -1).astype(query.dtype),)


class RestorePadding(OpRun):
    op_domain = DOMAIN

    def _run(self, tokens, offsets):
        grid = np.zeros((offsets.size, tokens.shape[1]), tokens.dtype)
        grid[offsets.reshape(-1)[: len(tokens)]] = tokens
        return (grid.reshape(*offsets.shape, -1),)


OPERATORS = [
    BiasGelu,
    FastGelu,
    PackedMultiHeadAttention,
    RestorePadding,
    SkipLayerNormalization,
]
