"""Under which name vectors are stored, so that those of two spaces never meet."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_client import Client

__all__ = ["namespace"]


def namespace(client: Client, place: tuple[str, str], more: tuple[object, ...]) -> str:
    """
    "embedway-" and 32 hexadecimal digits, that are others for another space, size or prompts.

    The space is what the server tells, for which a text is embedded where it is not known yet;
    of a server that tells none, its `place`, which is its address and the model's name. `more` is
    what vectors depend on beside it. Raises what embedding raises.
    """
    if client.vector_space is None and client.deployment is None:
        client.embed(["what space is this in?"])
    space = client.vector_space or place
    deployed = None if client.deployment is None else client.deployment.shown()
    told = json.dumps([space, more, deployed], sort_keys=True)
    return f"embedway-{hashlib.sha256(told.encode()).hexdigest()[:32]}"
