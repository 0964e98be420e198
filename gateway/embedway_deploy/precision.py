"""The number format that what is deployed computes in, and what that means for its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_deploy.error import Refused
from embedway_deploy.step import Shape
from embedway_gateway.precision import AGREEMENT, Precision

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["DTYPES", "Dtype", "about", "by_agreement", "has_gpu", "tei_dtype", "vllm_dtype"]

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]

DTYPES: Mapping[Dtype, Precision] = MappingProxyType(
    {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
)
"""The servers' words for number formats, and ours."""


def has_gpu(shape: Shape) -> bool:
    """Whether its machines have one."""
    return ".GPU" in shape.name


def tei_dtype(asked: Dtype | None, shape: Shape) -> Dtype:
    """As asked, else as TEI would choose: half precision on a GPU. Raises `Refused`."""
    if asked == "bfloat16":
        raise Refused(["TEI has no bfloat16: --dtype float16 or float32"])
    if asked == "float16" and not has_gpu(shape):
        raise Refused([f"{shape.name} has no GPU, which TEI needs for float16: --dtype float32"])
    return asked or ("float16" if has_gpu(shape) else "float32")


def vllm_dtype(asked: Dtype | None, checkpoint: Checkpoint) -> Dtype:
    """As asked, else as vLLM would choose: bfloat16 where the weights are, else float16."""
    values = checkpoint.config.values
    stated = values.get("torch_dtype") or values.get("dtype")
    return asked or ("bfloat16" if stated == "bfloat16" else "float16")


def by_agreement(least: float | None) -> Precision:
    """The most exact number format whose vectors may be that far off."""
    if least is None:
        return "fp32"
    enough: list[Precision] = [one for one, allowed in AGREEMENT.items() if allowed <= least]
    return enough[0] if enough else "int8"


def about(precision: Precision, *, word: str | None = None) -> tuple[str, ...]:
    """The note on vectors that are not exactly the model's; `word` is a more exact name of it."""
    if precision == "fp32":
        return ()
    return (
        (
            f"{word or precision} vectors are another vector space than the model's in fp32: embed "
            "documents and queries with this deployment alone, and give it a --served-name of its "
            f"own; or run `embedway compare` first. `precision: {precision}` is in the lines for "
            f"embedway.yaml, and allows upstreams of one model a cosine of {AGREEMENT[precision]}"
        ),
    )
