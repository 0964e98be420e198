"""What a plan costs, in the units in which it is charged; prices change, and are not ours."""

from __future__ import annotations

from embedway_deploy.step import Shape

__all__ = ["costs"]


def costs(shape: Shape, *, stored: int, logged: bool) -> tuple[str, ...]:
    """`stored` bytes stay in a bucket or in the catalogue."""
    machine = shape.name
    if shape.ocpus is not None:
        machine += f" with {shape.ocpus:g} OCPUs and {shape.memory_gb:g} GB"
    found = [
        (
            f"{shape.replicas} × {machine}, by the hour from creation until it is removed or "
            "deactivated, whether it is called or not"
        ),
        f"a load balancer of {shape.bandwidth_mbps} Mbps, by the hour",
        f"{stored / 1e9:.2f} GB of object storage, by the month",
    ]
    if logged:
        found.append("log content, by the GB")
    return tuple(found)
