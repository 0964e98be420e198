"""What whoever deploys decides: where, on which machines, under which name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from embedway_deploy.error import Refused
from embedway_deploy.plan import OCIPlace
from embedway_deploy.policy import Groups
from embedway_deploy.step import NAME, Log, Shape

__all__ = ["Bucket", "NamedModel", "Order", "plan_name"]

_URI = re.compile(r"oci://(?P<bucket>[^@/]+)@(?P<namespace>[^/]+)(/(?P<prefix>.*))?")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in object storage; `prefix` is empty or ends with a slash."""

    name: str
    namespace: str
    prefix: str = ""

    @classmethod
    def read(cls, uri: str) -> Bucket:
        """From `oci://bucket@namespace/prefix`. Raises `Refused`."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise Refused([f"{uri!r} is not oci://<bucket>@<namespace>/<prefix>"])
        prefix = (match["prefix"] or "").strip("/")
        return cls(match["bucket"], match["namespace"], f"{prefix}/" if prefix else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """
    A model, and what it is called. `name` marks what is made, and is made of the model's where it
    is not given. `served` is what clients of the gateway call the model. `home` is where files are
    prepared. Raises `Refused` for a name that is none: it becomes a folder, whose content goes.
    """

    model: str
    name: str | None = None
    served: str | None = None
    home: Path | None = None

    def __post_init__(self) -> None:
        """Before anything is downloaded, or a path is made of it."""
        if self.name is not None and re.fullmatch(NAME, self.name) is None:
            raise Refused(
                [
                    (
                        f"{self.name!r} is no name of a plan: up to 63 lower-case letters, digits "
                        "and hyphens, the first no hyphen, as --name minilm-test"
                    )
                ]
            )
        # A plan may be applied from another folder, and its last step reads the model.
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            object.__setattr__(self, "model", str(folder.resolve()))

    @property
    def called(self) -> str:
        """What clients call the model."""
        if self.served:
            return self.served
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            return folder.resolve().name
        # Imported here: a plan that was kept needs no catalogue.
        from embedway_local.catalogue import full_name

        return full_name(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(NamedModel):
    """A model for OCI Data Science."""

    place: OCIPlace
    shape: Shape
    bucket: Bucket | None = None
    log: Log | None = None
    groups: Groups = field(default_factory=Groups)


def plan_name(order: NamedModel, engine: str) -> str:
    """As `tei-all-minilm-l6-v2`; only letters, digits and hyphens."""
    if order.name:
        return order.name
    short = order.called.rpartition("/")[2]
    return f"{engine}-{re.sub(r'[^a-z0-9]+', '-', short.lower()).strip('-')}"[:63].rstrip("-")
