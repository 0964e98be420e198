"""Where the control plane of OCI Data Science is, in every realm that the `oci` SDK knows."""

from __future__ import annotations

import importlib

__all__ = ["VERSION", "control_plane"]

VERSION = "20190101"


def control_plane(region: str, service_endpoint: str | None = None) -> str:
    """
    The address with the API's version. `service_endpoint` is given without one, and needs no SDK;
    else the region's realm is looked up as the SDK does. Raises `ValueError`.
    """
    if service_endpoint:
        return service_endpoint.rstrip("/").removesuffix(f"/{VERSION}") + f"/{VERSION}"
    if not region:
        raise ValueError("discovery of type oci needs a region, or a service_endpoint")
    try:
        # Imported here: `import oci` takes 0.3 s and 50 MiB.
        regions = importlib.import_module("oci.regions")
    except ImportError:
        raise ValueError(
            'the region\'s realm is read from the oci SDK: pip install "embedway[oci]", '
            "or give a service_endpoint"
        ) from None
    template = "https://datascience.{region}.oci.{secondLevelDomain}"
    host = regions.endpoint_for("datascience", region=region, service_endpoint_template=template)
    return f"{host}/{VERSION}"
