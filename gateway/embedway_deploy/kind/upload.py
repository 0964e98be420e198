"""Files in a bucket: each sent once, in parts where it is large, and found again by its digest."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedway_deploy.client import Begun, Item, ObjectStorage
from embedway_deploy.error import DeployError
from embedway_deploy.file import File
from embedway_deploy.prefix import EARLIER, kind_of_prefix, own_root
from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_deploy.step import Upload
from embedway_deploy.trouble import told

__all__ = ["UploadKind", "archive"]

_PART = 64 * 1024 * 1024
_DIGEST = "opc-meta-embedway-sha256"


@dataclass(frozen=True, slots=True)
class _Object:
    name: str
    bytes: int
    sha256: str
    file: File | None
    """None is the archive of all."""


class UploadKind:
    """An object carries its file's SHA-256 as metadata; the same digest is not sent again."""

    def problems(self, step: Upload, run: Run) -> Iterator[str]:
        """No bucket, one that keeps no versions, files that were changed, or a place of others."""
        yield from step.source.changed()
        if kind_of_prefix(run.plan, step) is None:
            yield (
                f"{step.uri} is no place of this plan's files, and `destroy` would leave them "
                "there; make the plan again, and give the folder in the bucket by --bucket"
            )
        with told(run.plan, f"reading bucket {step.bucket}"):
            bucket = run.cloud.object_storage.get_bucket(step.namespace, step.bucket).data
        if step.versioned and bucket.versioning != "Enabled":
            yield (
                f"bucket {step.bucket} keeps no versions, which a model by reference needs; switch "
                f"it on: oci os bucket update --bucket-name {step.bucket} --versioning Enabled"
            )

    def look(self, step: Upload, run: Run) -> State:
        """Present when every object is there with its digest."""
        with told(run.plan, f"looking into bucket {step.bucket}"):
            missing = self._missing(step, run)
        wanted = _objects(step)
        words = f"{len(wanted) - len(missing)} of {len(wanted)} objects"
        status = "present" if not missing else "partial" if len(missing) < len(wanted) else "absent"
        return State(status=status, id=step.uri, words=words)  # type: ignore[arg-type]

    def make(self, step: Upload, run: Run, state: State) -> State:
        """Send what is missing."""
        with told(run.plan, f"uploading to bucket {step.bucket}"):
            for item in self._missing(step, run):
                self._send(step, run, item)
        return self.look(step, run)

    def remove(self, step: Upload, run: Run) -> bool:
        """
        All versions of all objects that this plan has put under its own prefix.

        Raises `DeployError`, and touches nothing, where the prefix is not this plan's alone.
        """
        root = own_root(run.plan, step)
        if root is None:
            raise DeployError(_stays(run, step))
        with told(run.plan, f"removing objects from bucket {step.bucket}"):
            return _remove(run.cloud.object_storage, step, root)

    def found(self, step: Upload, run: Run) -> list[str]:
        """How many objects; none where `remove` refuses."""
        root = own_root(run.plan, step)
        if root is None:
            return []
        with told(run.plan, f"looking into bucket {step.bucket}"):
            names = {item.name for item in _versions(run.cloud.object_storage, step, root)}
        where = f"oci://{step.bucket}@{step.namespace}/{root}"
        return [f"{len(names)} objects under {where}"] if names else []

    def log(self, step: Upload, run: Run, lines: int) -> list[str]:
        """None."""
        return []

    def _missing(self, step: Upload, run: Run) -> list[_Object]:
        return [item for item in _objects(step) if not _is_there(run, step, item)]

    def _send(self, step: Upload, run: Run, item: _Object) -> None:
        if item.file is not None:
            path = Path(step.source.folder) / item.file.path
            _send(step, run, item, path)
            return
        with tempfile.TemporaryDirectory(prefix="embedway-") as folder:
            path = Path(folder) / item.name.rpartition("/")[2]
            run.report.say(f"packing {len(step.source.files)} files")
            archive(step.source.folder, [file.path for file in step.source.files], path)
            _send(step, run, item, path)


def archive(folder: str, names: list[str], target: Path) -> None:
    """A zip of the files, the same bytes for the same files; not deflated, weights hardly are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as out:
        for name in names:
            about = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            with (
                (Path(folder) / name).open("rb") as source,
                out.open(about, "w", force_zip64=True) as inside,
            ):
                while block := source.read(1 << 20):
                    inside.write(block)


def _send(step: Upload, run: Run, item: _Object, path: Path) -> None:
    from oci.object_storage import UploadManager

    size, done = path.stat().st_size, 0
    with run.report.progress(f"uploading {item.name}", total=size) as advance:

        def sent(count: int) -> None:
            nonlocal done
            # It counts what was read, a bit ahead of what was sent.
            done = min(size, done + count)
            advance(done, "")

        # Its retries are for each part, so that a lost connection costs one part.
        manager = UploadManager(run.cloud.object_storage, allow_parallel_uploads=True)
        where = (step.namespace, step.bucket, item.name, str(path))
        begun = _begun(run.cloud.object_storage, step, item.name)
        if begun:
            # The same name is the same content: digests are in the prefix.
            run.report.say(f"going on with {item.name}, of which some parts are there")
            upload = begun[0].upload_id
            manager.resume_upload_file(*where, upload, part_size=_PART, progress_callback=sent)
            return
        metadata = {_DIGEST.removeprefix("opc-meta-"): item.sha256}
        manager.upload_file(*where, part_size=_PART, metadata=metadata, progress_callback=sent)


def _begun(client: ObjectStorage, step: Upload, prefix: str) -> list[Begun]:
    """The uploads in parts below a prefix that were interrupted; they are paid for, too."""
    found: list[Begun] = []
    page = None
    while True:
        reply = client.list_multipart_uploads(step.namespace, step.bucket, page=page)
        found += [one for one in reply.data if one.object.startswith(prefix)]
        page = reply.headers.get("opc-next-page")
        if not page:
            return found


def _objects(step: Upload) -> list[_Object]:
    if step.archive is not None:
        digest, size = step.source.digest, step.source.bytes
        return [_Object(f"{step.prefix}{step.archive}", size, digest, None)]
    return [
        _Object(f"{step.prefix}{file.path}", file.bytes, file.sha256, file)
        for file in step.source.files
    ]


def _is_there(run: Run, step: Upload, item: _Object) -> bool:
    from oci.exceptions import ServiceError

    try:
        reply = run.cloud.object_storage.head_object(step.namespace, step.bucket, item.name)
    except ServiceError as error:
        if error.status == 404:
            return False
        raise
    return reply.headers.get(_DIGEST) == item.sha256


def _stays(run: Run, step: Upload) -> str:
    """Why objects are not removed, and how they are by hand."""
    cure = (
        "look what else uses them, and remove them by hand: oci os object bulk-delete-versions "
        f"--namespace {step.namespace} --bucket-name {step.bucket} --prefix {step.prefix}"
    )
    if kind_of_prefix(run.plan, step) == EARLIER:
        return (
            f"the objects under {step.uri} stay: they were put there by an earlier Embedway, which "
            "gave deployments of one name the same place, whatever their compartments; the "
            f"deployment and its models are removed without them. Then {cure}"
        )
    return (
        f"the objects under {step.uri} stay: that is no place of this plan's files, which end up "
        f"in embedway/{run.plan.name}/; if they are yours, {cure}"
    )


def _remove(client: ObjectStorage, step: Upload, root: str) -> bool:
    begun = [one for one in _begun(client, step, root) if _is_version(one.object, root)]
    for one in begun:
        client.abort_multipart_upload(step.namespace, step.bucket, one.object, one.upload_id)
    found = bool(begun)
    for item in _versions(client, step, root):
        found = True
        client.delete_object(step.namespace, step.bucket, item.name, version_id=item.version_id)
    return found


def _versions(client: ObjectStorage, step: Upload, root: str) -> Iterator[Item]:
    """Of all objects that this plan, or an earlier one of its name and compartment, has put."""
    page = None
    while True:
        reply = client.list_object_versions(step.namespace, step.bucket, prefix=root, page=page)
        yield from (item for item in reply.data.items if _is_version(item.name, root))
        page = reply.headers.get("opc-next-page")
        if not page:
            return


def _is_version(name: str, root: str) -> bool:
    """In the folder of a version; anything else under the root was put there by somebody else."""
    return re.fullmatch(rf"{re.escape(root)}[0-9a-f]{{12}}/.+", name) is not None
