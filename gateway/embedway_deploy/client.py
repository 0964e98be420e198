"""What we use of the SDK's clients, with the types that its source does not state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar, cast

__all__ = [
    "Begun",
    "DataScience",
    "Failure",
    "Images",
    "Item",
    "LogSearch",
    "ObjectStorage",
    "Reply",
    "Resource",
    "WorkRequest",
    "listed",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reply(Protocol[T_co]):
    """Of any call; one that OCI refuses raises `oci.exceptions.ServiceError` instead."""

    @property
    def data(self) -> T_co: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Resource(Protocol):
    """A model or a deployment, whole or in a list."""

    id: str
    display_name: str
    lifecycle_state: str
    lifecycle_details: str | None
    freeform_tags: dict[str, str] | None
    model_deployment_url: str | None
    time_created: datetime


class Begun(Protocol):
    """An upload in parts that was not finished."""

    object: str
    upload_id: str


class Item(Protocol):
    """Of a list of shapes, container images, buckets, versions of objects or policies."""

    name: str
    version: str | None
    version_id: str
    digest: str
    versioning: str
    identifier: str


class WorkRequest(Protocol):
    """Something that OCI is doing."""

    id: str
    status: str
    percent_complete: float | None
    resources: Sequence[Item] | None
    time_accepted: datetime


class Failure(Protocol):
    """Why a work request failed."""

    code: str
    message: str


class Versions(Protocol):
    """A page of them."""

    items: Sequence[Item]


class Found(Protocol):
    """What a search in logs has found."""

    results: Sequence[Entry] | None


class Entry(Protocol):
    """One line of a log."""

    data: object


class DataScience(Protocol):
    """`oci.data_science.DataScienceClient`."""

    def get_project(self, project_id: str) -> Reply[Resource]: ...
    def create_model(self, create_model_details: object) -> Reply[Resource]: ...
    def list_models(self, compartment_id: str) -> Reply[Sequence[Resource]]: ...
    def delete_model(self, model_id: str) -> Reply[None]: ...
    def head_model_artifact(self, model_id: str) -> Reply[None]: ...
    def export_model_artifact(
        self, model_id: str, export_model_artifact_details: object
    ) -> Reply[None]: ...
    def create_model_deployment(self, details: object, /) -> Reply[Resource]: ...
    def update_model_deployment(self, identity: str, details: object, /) -> Reply[None]: ...
    def get_model_deployment(self, model_deployment_id: str) -> Reply[Resource]: ...
    def list_model_deployments(self, compartment_id: str) -> Reply[Sequence[Resource]]: ...
    def delete_model_deployment(self, model_deployment_id: str) -> Reply[None]: ...
    def activate_model_deployment(self, model_deployment_id: str) -> Reply[None]: ...
    def deactivate_model_deployment(self, model_deployment_id: str) -> Reply[None]: ...
    def list_model_deployment_shapes(self, compartment_id: str) -> Reply[Sequence[Item]]: ...
    def get_work_request(self, work_request_id: str) -> Reply[WorkRequest]: ...
    def list_work_requests(self, compartment_id: str) -> Reply[Sequence[WorkRequest]]: ...
    def list_work_request_errors(self, work_request_id: str) -> Reply[Sequence[Failure]]: ...


class ObjectStorage(Protocol):
    """`oci.object_storage.ObjectStorageClient`."""

    def get_bucket(self, namespace_name: str, bucket_name: str) -> Reply[Item]: ...
    def head_object(self, namespace: str, bucket: str, name: str, /) -> Reply[None]: ...
    def list_object_versions(
        self, namespace: str, bucket: str, /, *, prefix: str, page: str | None = None
    ) -> Reply[Versions]: ...
    def list_multipart_uploads(
        self, namespace: str, bucket: str, /, *, page: str | None = None
    ) -> Reply[Sequence[Begun]]: ...
    def abort_multipart_upload(
        self, namespace: str, bucket: str, name: str, upload_id: str, /
    ) -> Reply[None]: ...
    def delete_object(
        self, namespace: str, bucket: str, name: str, /, *, version_id: str
    ) -> Reply[None]: ...


class LogSearch(Protocol):
    """`oci.loggingsearch.LogSearchClient`."""

    def search_logs(self, details: object, /, *, limit: int) -> Reply[Found]: ...


class Images(Protocol):
    """`oci.artifacts.ArtifactsClient`."""

    def list_container_images(
        self, compartment_id: str, *, repository_name: str
    ) -> Reply[Sequence[Item]]: ...


def listed(
    method: Callable[..., Reply[Sequence[T]]], compartment_id: str, **facts: str
) -> Iterator[T]:
    """Everything that a method lists, page by page."""
    from oci.pagination import list_call_get_all_results_generator

    found = list_call_get_all_results_generator(
        method, "record", compartment_id=compartment_id, **facts
    )
    return cast("Iterator[T]", found)
