"""The IAM statements that a plan needs, for the people who deploy and for what is deployed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Groups", "statements"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Who; a name with `domain/` before it is one of an identity domain."""

    people: str = "<group>"
    dynamic: str = "<dynamic-group>"
    """The dynamic group that the deployments are in."""


def statements(
    groups: Groups,
    *,
    compartment_id: str,
    region: str,
    bucket: str | None = None,
    exported: bool = False,
    container: bool = False,
    logged: bool = False,
) -> tuple[str, ...]:
    """
    `exported`: an archive is exported from `bucket` into the catalogue; else `bucket` holds a model
    by reference. The first line is no statement: it is the dynamic group's rule.
    """
    where = f"in compartment id {compartment_id}"
    people, machines = f"Allow group {groups.people}", f"Allow dynamic-group {groups.dynamic}"
    found = [
        (
            f"# matching rule of dynamic group {groups.dynamic}: ALL {{resource.type = "
            f"'datasciencemodeldeployment', resource.compartment.id = '{compartment_id}'}}"
        ),
        f"{people} to manage data-science-models {where}",
        f"{people} to manage data-science-model-deployments {where}",
        f"{people} to read data-science-family {where}",
        f"{machines} to read data-science-models {where}",
    ]
    if bucket is not None:
        only = f"{where} where target.bucket.name = '{bucket}'"
        found += [
            f"{people} to manage objects {only}",
            f"{people} to read buckets {only}",
            f"{machines} to read objects {only}",
            f"{machines} to read buckets {only}",
        ]
    if exported:
        only = f"{where} where ALL {{target.bucket.name = '{bucket}'}}"
        found += [
            f"Allow service datascience to manage object-family {only}",
            f"Allow service objectstorage-{region} to manage object-family {only}",
        ]
    if container:
        found += [f"{people} to read repos {where}", f"{machines} to read repos {where}"]
    if logged:
        found += [
            f"{people} to read log-content {where}",
            f"{people} to use log-groups {where}",
            (
                f"Allow any-user to use log-content {where} where ALL "
                f"{{request.principal.type = 'datasciencemodeldeployment', "
                f"request.principal.compartment.id = '{compartment_id}'}}"
            ),
        ]
    return tuple(found)
