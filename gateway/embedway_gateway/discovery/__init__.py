"""Finds deployments by itself, and keeps the list of them fresh."""

from embedway_gateway.discovery.aicore import AICoreSource
from embedway_gateway.discovery.catalogue import DiscoveredModel, group
from embedway_gateway.discovery.found import Capability, EngineName, Found, Invoke, Source
from embedway_gateway.discovery.oci import OCISource
from embedway_gateway.discovery.refresh import Discovery, SourceStatus, Watched
from embedway_gateway.discovery.region import control_plane

__all__ = [
    "AICoreSource",
    "Capability",
    "DiscoveredModel",
    "Discovery",
    "EngineName",
    "Found",
    "Invoke",
    "OCISource",
    "Source",
    "SourceStatus",
    "Watched",
    "control_plane",
    "group",
]
