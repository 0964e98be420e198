"""An entry of OCI's model catalogue, registered with oracle-ads, found again by its tags."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from embedway_deploy.client import Resource, listed
from embedway_deploy.error import CloudRefused
from embedway_deploy.kind.upload import archive
from embedway_deploy.kind.work import finished
from embedway_deploy.plan import DIGEST_TAG, PLAN_TAG
from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_deploy.step import Model, Upload
from embedway_deploy.trouble import told

__all__ = ["ModelKind"]


class ModelKind:
    """
    A model cannot be changed: another digest is another model, the old one stays until `remove`.

    ADS registers in two calls, the entry and then its artifact; an entry without one is partial.
    """

    def problems(self, step: Model, run: Run) -> Iterator[str]:
        """Files that were changed, or a project that cannot be seen."""
        if step.source is not None:
            yield from step.source.changed()
        with told(run.plan, f"reading project {run.plan.oci.project_id}"):
            run.cloud.data_science.get_project(run.plan.oci.project_id)

    def look(self, step: Model, run: Run) -> State:
        """The newest entry with the plan's name and the step's digest."""
        with told(run.plan, "listing models"):
            wanted = run.plan.digest(step)
            found = [m for m in _listed(run) if (m.freeform_tags or {}).get(DIGEST_TAG) == wanted]
            if not found:
                return State(status="absent")
            found.sort(key=lambda one: one.time_created, reverse=True)
            whole = next((one for one in found if _has_artifact(run, one.id)), None)
            model = whole or found[0]
        words = model.display_name + ("" if whole else ", without its artifact")
        return State(status="present" if whole else "partial", id=model.id, words=words)

    def make(self, step: Model, run: Run, state: State) -> State:
        """Create the entry where there is none, then send its artifact."""
        with told(run.plan, f"registering {step.display_name}"):
            upload = run.plan.step(step.upload) if step.upload else None
            exported = isinstance(upload, Upload) and upload.archive is not None
            if state.status == "absent" and exported:
                state = State(status="partial", id=_created(step, run))
            if exported:
                assert isinstance(upload, Upload)
                _export(run, state.id, upload)
            else:
                _saved(step, run, state, upload if isinstance(upload, Upload) else None)
        return self.look(step, run)

    def remove(self, step: Model, run: Run) -> bool:
        """Every version of it."""
        with told(run.plan, "removing models"):
            found = list(_listed(run))
            for model in found:
                run.cloud.data_science.delete_model(model.id)
        return bool(found)

    def found(self, step: Model, run: Run) -> list[str]:
        """Every version of it."""
        with told(run.plan, "listing models"):
            return [f"{model.display_name}  {model.id}" for model in _listed(run)]

    def log(self, step: Model, run: Run, lines: int) -> list[str]:
        """None."""
        return []


def _listed(run: Run) -> Iterator[Resource]:
    method = run.cloud.data_science.list_models
    for model in listed(method, run.plan.oci.compartment_id):
        tags = model.freeform_tags or {}
        alive = model.lifecycle_state not in {"DELETED", "FAILED"}
        if alive and tags.get(PLAN_TAG) == run.plan.name:
            yield model


def _has_artifact(run: Run, model: str) -> bool:
    from oci.exceptions import ServiceError

    try:
        run.cloud.data_science.head_model_artifact(model)
    except ServiceError as error:
        if error.status == 404:
            return False
        raise
    return True


def _saved(step: Model, run: Run, state: State, upload: Upload | None) -> None:
    """The entry, where there is none, and its artifact: by reference, or packed and sent."""
    with tempfile.TemporaryDirectory(prefix="embedway-") as folder, run.cloud.ads():
        from ads.model.datascience_model import DataScienceModel

        if upload is not None:
            artifact = upload.uri
        else:
            assert step.source is not None
            packed = Path(folder) / "artifact.zip"
            archive(step.source.folder, [file.path for file in step.source.files], packed)
            artifact = str(packed)
        reference = upload is not None
        if state.status == "absent":
            run.report.say(f"registering {step.display_name}")
            _described(step, run).with_artifact(artifact).create(model_by_reference=reference)
            return
        run.report.say(f"sending the artifact of {state.id}, which was begun before")
        model = DataScienceModel.from_id(state.id).with_artifact(artifact)
        model.upload_artifact(model_by_reference=reference)


def _described(step: Model, run: Run):  # type: ignore[no-untyped-def] # ADS has no types
    from ads.model.datascience_model import DataScienceModel
    from ads.model.model_metadata import ModelCustomMetadata

    metadata = ModelCustomMetadata()
    for key, value in step.metadata.items():
        metadata.add(key=key, value=value, description="", category="other", replace=True)
    place = run.plan.oci
    return (
        DataScienceModel()
        .with_compartment_id(place.compartment_id)
        .with_project_id(place.project_id)
        .with_display_name(step.display_name)
        .with_description(step.description)
        .with_freeform_tags(**run.plan.tags(step))  # pyright: ignore[reportArgumentType] - each is a text
        .with_custom_metadata_list(metadata)
    )


def _created(step: Model, run: Run) -> str:
    """The entry alone; ADS would pack, send and export it in one go that cannot be taken up."""
    from oci.data_science import models

    place = run.plan.oci
    run.report.say(f"registering {step.display_name}")
    details = models.CreateModelDetails(
        compartment_id=place.compartment_id,
        project_id=place.project_id,
        display_name=step.display_name,
        description=step.description,
        freeform_tags=run.plan.tags(step),
        custom_metadata_list=[
            models.Metadata(key=key, value=value, category="other")
            for key, value in step.metadata.items()
        ],
    )
    return run.cloud.data_science.create_model(details).data.id


def _export(run: Run, model: str, upload: Upload) -> None:
    """From the bucket into the catalogue, which takes archives of more than 2 GB only so."""
    from oci.data_science import models

    reply = run.cloud.data_science.export_model_artifact(
        model,
        models.ExportModelArtifactDetails(
            artifact_export_details=models.ArtifactExportDetailsObjectStorage(
                namespace=upload.namespace,
                source_bucket=upload.bucket,
                source_object_name=f"{upload.prefix}{upload.archive}",
                source_region=run.plan.oci.region,
            )
        ),
    )
    request = reply.headers.get("opc-work-request-id")
    if not request:
        raise CloudRefused(f"exporting the artifact of {model}: OCI names no work request")
    finished(run, request, f"exporting the artifact of {model}")
