"""Whether a container's image is in OCI's registry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from embedway_deploy.client import listed
from embedway_deploy.run import Run
from embedway_deploy.trouble import told

__all__ = ["problems"]

# iad.ocir.io/namespace/repository:tag, ocir.us-ashburn-1.oci.oraclecloud.com/…, …@sha256:…
_OCIR = re.compile(
    r"(?P<host>([a-z0-9-]+\.ocir\.io|ocir\.[a-z0-9-]+\.oci\.[a-z.]+))/(?P<namespace>[^/]+)/"
    r"(?P<repository>[^:@]+)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def problems(image: str, run: Run) -> Iterator[str]:
    """
    One that is not of the registry is refused, for deployments pull from nowhere else; one whose
    tag the registry does not list, too. AQUA's service images, `dsmc://…`, are Oracle's own.
    """
    if image.startswith("dsmc://"):
        return
    match = _OCIR.fullmatch(image)
    if match is None:
        yield (
            f"{image} is not in OCI's registry, and deployments pull from nowhere else; push it to "
            "<region>.ocir.io/<namespace>/<repository>:<tag>"
        )
        return
    if match["tag"] is None and match["digest"] is None:
        yield f"{image} names no version; write :<tag>, for what `latest` is changes"
        return
    place = run.plan.oci
    with told(run.plan, f"looking for image {image}"):
        method = run.cloud.images.list_container_images
        found = list(listed(method, place.compartment_id, repository_name=match["repository"]))
    if not found:
        # Another compartment's repository cannot be listed from here: the deployment will tell.
        return
    # An image that lost its tag to a later one has no version.
    there = {one.version for one in found} | {one.digest for one in found}
    if not {match["tag"], match["digest"]} & there - {None}:
        known = ", ".join(sorted(str(one.version) for one in found if one.version))
        wanted = match["tag"] or match["digest"]
        yield f"{match['repository']} has no image {wanted}; it has {known}"
