"""One item of OCI's list of model deployments, read so that every field is of its type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from embedway_gateway.discovery.command import Options, read_options, split
from embedway_gateway.discovery.field import entries, moment, table, text, texts
from embedway_upstream.loopback import is_loopback

__all__ = ["SERVING", "Deployment", "is_callable", "read_deployment"]

SERVING = frozenset({"ACTIVE", "UPDATING"})
"""The states that answer: UPDATING rolls (oci.data_science.models.ModelDeployment)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The fields that say what a deployment serves and where."""

    id: str
    display_name: str
    state: str
    url: str
    tags: Mapping[str, str]
    created: float | None
    """In seconds since 1970."""
    model_id: str
    container: bool
    """Whether it is a container of the user's, or a conda environment's score.py."""
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    specification: str
    """`predictApiSpecification` in lower case, empty without one."""
    suffixes: tuple[str, ...]
    """Of the custom HTTP endpoints that take POST; `{}` stands for one part of a path."""
    models_path: str
    """Where it can be asked what it serves, empty where it cannot."""

    @property
    def options(self) -> Options:
        """Of the container's command, and of what AQUA passes on in `PARAMS`."""
        return read_options((*self.command, *split(self.environment.get("PARAMS", ""))))

    @property
    def content(self) -> str:
        """A digest of what runs in it: the catalogue's model, image, command and environment."""
        facts = [self.model_id, self.image, self.command, sorted(self.environment.items())]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def predict_path(self) -> str:
        """The container's path behind `/predict`, empty where it is not said."""
        path = self.environment.get("MODEL_DEPLOY_PREDICT_ENDPOINT", "").strip()
        return f"/{path.lstrip('/')}" if path else ""

    @property
    def aqua(self) -> bool:
        """Whether AI Quick Actions made it; its containers take the `route` header."""
        tagged = any(tag.upper() == "OCI_AQUA" for tag in self.tags)
        several = "MULTI_MODEL_CONFIG" in self.environment
        return tagged or several or self.image.startswith("dsmc://")


def read_deployment(item: object) -> Deployment:
    """The deployment. Raises `ValueError` where it has no id or no address that may be called."""
    whole = table(item)
    name, url = text(whole.get("id")), text(whole.get("modelDeploymentUrl")).rstrip("/")
    if not name:
        raise ValueError("it has no id")
    if not is_callable(url):
        raise ValueError("it states no address that may be called")
    details = table(whole, "modelDeploymentConfigurationDetails")
    where = table(details, "environmentConfigurationDetails")
    kind, image = text(where.get("environmentConfigurationType")), text(where.get("image"))
    specification = text(where.get("predictApiSpecification")).lower()
    asked = [path for path in _suffixes(where, "GET") if path.endswith("/models")]
    asked = ["/v1/models"] if specification == "openai" else asked
    return Deployment(
        id=name,
        display_name=text(whole.get("displayName")),
        state=text(whole.get("lifecycleState")),
        url=url,
        tags=texts(whole.get("freeformTags")),
        created=moment(whole.get("timeCreated")),
        model_id=text(table(details, "modelConfigurationDetails").get("modelId")),
        container=kind == "OCIR_CONTAINER" or (not kind and bool(image)),
        image=image,
        command=tuple(word for word in entries(where.get("cmd")) if isinstance(word, str)),
        environment=texts(where.get("environmentVariables")),
        specification=specification,
        suffixes=tuple(_suffixes(where, "POST")),
        models_path="".join(asked[:1]),
    )


def _suffixes(where: Mapping[str, object], method: str) -> list[str]:
    found = []
    for endpoint in entries(where.get("customHttpEndpoints")):
        suffix = text(table(endpoint).get("endpointUriSuffix")).strip("/")
        if suffix and method in entries(table(endpoint).get("httpMethods")):
            found.append(f"/{suffix}")
    return found


def is_callable(url: str) -> bool:
    """Whether calls may be sent there: https, or this machine, and nothing beside a path."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = not (parts.username or parts.query or parts.fragment) and url.isprintable()
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
        return bool(host) and plain and safe and (parts.port or 1) > 0
    except ValueError:
        return False
