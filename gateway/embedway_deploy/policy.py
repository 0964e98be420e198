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
    conda: str | None = None,
    container: bool = False,
    logged: bool = False,
    networked: bool = False,
) -> tuple[str, ...]:
    """
    `exported`: an archive is exported from `bucket` into the catalogue; else `bucket` holds a model
    by reference. `conda` is the bucket of a published conda environment. `networked`: in a subnet.

    Lines that begin with `#` are no statements: the dynamic group's rule, and what stands for the
    compartments that a plan does not know, because what is in them is named without one.
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
        found += _stored(people, machines, bucket=bucket, home=where)
    if exported:
        only = f"in compartment <bucket-compartment> where ALL {{target.bucket.name = '{bucket}'}}"
        found += [
            f"Allow service datascience to manage object-family {only}",
            f"Allow service objectstorage-{region} to manage object-family {only}",
        ]
    if conda is not None:
        found += _packed(machines, conda=conda, home=where)
    if container:
        only = "in compartment <repository-compartment>"
        note = _stands_for("repository", "the image's repository", where)
        found += [note, f"{people} to read repos {only}", f"{machines} to read repos {only}"]
    if logged:
        found += _logged(people, compartment_id, home=where)
    if networked:
        only = "to use virtual-network-family in compartment <network-compartment>"
        note = _stands_for("network", "the subnet", where)
        found += [note, f"{people} {only}", f"Allow service datascience {only}"]
    return tuple(found)


def _stands_for(what: str, thing: str, home: str) -> str:
    own = home.removeprefix("in compartment ")
    return (
        f"# <{what}-compartment>: the one that {thing} is in; `{own}` where it is the deployment's"
    )


def _stored(people: str, machines: str, *, bucket: str, home: str) -> list[str]:
    only = f"in compartment <bucket-compartment> where target.bucket.name = '{bucket}'"
    return [
        _stands_for("bucket", f"bucket {bucket}", home),
        f"{people} to manage objects {only}",
        f"{people} to read buckets {only}",
        f"{machines} to read objects {only}",
        f"{machines} to read buckets {only}",
    ]


def _packed(machines: str, *, conda: str, home: str) -> list[str]:
    only = f"in compartment <conda-compartment> where target.bucket.name = '{conda}'"
    return [
        _stands_for("conda", f"bucket {conda}, of the conda environment,", home),
        f"{machines} to read objects {only}",
        f"{machines} to read buckets {only}",
    ]


def _logged(people: str, compartment_id: str, *, home: str) -> list[str]:
    only = "in compartment <log-compartment>"
    return [
        _stands_for("log", "the log group", home),
        f"{people} to read log-content {only}",
        f"{people} to use log-groups {only}",
        (
            f"Allow any-user to use log-content {only} where ALL "
            f"{{request.principal.type = 'datasciencemodeldeployment', "
            f"request.principal.compartment.id = '{compartment_id}'}}"
        ),
    ]
