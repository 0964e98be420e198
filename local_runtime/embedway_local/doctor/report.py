"""What an examination found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from embedway_local.doctor.host import Host
from embedway_local.gpu.driver import Driver
from embedway_local.gpu.wheel import Wheel

__all__ = ["Disk", "Installed", "Report", "Speed", "Trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The ONNX Runtime that is imported, and what lies around it."""

    version: str | None
    """None where none can be imported."""
    cuda: str
    """The CUDA that it is built for; empty without."""
    wheels: tuple[Wheel, ...]
    clash: str | None
    libraries: tuple[Wheel, ...]
    missing: tuple[str, ...]
    """CUDA's libraries that it names and that cannot be loaded."""
    available: tuple[str, ...]
    """Providers that were compiled in, which says nothing of whether they work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a call costs here."""

    query_ms: float
    batch_texts: int
    batch_texts_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What really ran."""

    device: str | None
    """None where nothing ran."""
    precision: str | None
    nodes: Mapping[str, int]
    """How many nodes of the graph each provider ran, by ONNX Runtime's own profile."""
    model: str | None
    """None where a small graph of our own was run."""
    speed: Speed | None
    why: str | None
    """Why not on the card; or why nothing ran."""
    cure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The model store."""

    home: str
    models: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole."""

    asked: str
    installed: Installed
    driver: Driver | None
    trial: Trial
    host: Host
    disk: Disk
    notes: tuple[str, ...]
    """What is worth knowing beside."""

    @property
    def met(self) -> bool:
        """Did what was asked for run? "auto" takes anything, even nothing."""
        if self.asked == "auto":
            return True
        return self.trial.device == self.asked or (
            self.asked.removesuffix(":0") == self.trial.device
        )
