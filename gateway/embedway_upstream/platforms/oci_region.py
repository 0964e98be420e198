"""Whether an address on OCI and the OCID in it are of one region."""

from __future__ import annotations

import re

__all__ = ["region_conflict"]

# OCIDs of the first regions name them by their key, all others in full.
# https://docs.oracle.com/en-us/iaas/Content/General/Concepts/regions.htm
_KEYS = {
    "iad": "us-ashburn-1",
    "phx": "us-phoenix-1",
    "fra": "eu-frankfurt-1",
    "lhr": "uk-london-1",
}
_HOST = re.compile(r"^https?://(?:modeldeployment|md\.datascience)\.([a-z]+(?:-[a-z]+)+-\d+)\.")
_OCID = re.compile(r"/ocid1\.datasciencemodeldeployment\.[a-z0-9]+\.([a-z0-9-]+)\.")


def region_conflict(url: str) -> str:
    """What is wrong with the regions in a deployment's address; empty where nothing is seen."""
    host, ocid = _HOST.search(url.lower()), _OCID.search(url.lower())
    if host is None or ocid is None:
        return ""
    named = _KEYS.get(ocid[1], ocid[1])
    # A key that is not known may be any region's.
    if "-" not in named or named == host[1]:
        return ""
    return f"the host in `url:` is of {host[1]}, and the OCID is of {named}: correct the host"
