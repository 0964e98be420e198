"""A stand-in for OCI's object storage: buckets with versions, objects with metadata, and parts."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

Answer = tuple[int, bytes, dict[str, str]]

_PATH = re.compile(
    r"/n/(?P<namespace>[^/]+)/b/(?P<bucket>[^/]+)(/(?P<kind>[a-z]+)(/(?P<name>.+))?)?"
)


@dataclass
class Version:
    """One version of an object."""

    body: bytes
    metadata: dict[str, str]
    etag: str
    id: str


@dataclass
class Bucket:
    versioning: str = "Enabled"
    objects: dict[str, list[Version]] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """Of uploads that were not committed, by upload id."""
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    """The metadata that each of these began with."""


@dataclass
class ObjectStorage:
    """Answers what the SDK asks; `sent` are the names of the objects that were written."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    parts: int = 0
    """How many were sent, of all objects."""
    begun: dict[str, str] = field(default_factory=dict)
    """The object of each upload in parts."""
    number: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        if path in {"/n", "/n/"}:
            return _json("namespace")
        match = _PATH.fullmatch(path)
        bucket = self.buckets.get(match["bucket"]) if match else None
        if match is None or bucket is None:
            return _missing("BucketNotFound")
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        name = unquote(match["name"] or "")
        if match["kind"] is None:
            return _json({"name": match["bucket"], "versioning": bucket.versioning})
        if match["kind"] == "objectversions":
            return self._versions(bucket, asked)
        if match["kind"] == "u":
            return self._multipart(bucket, name, method, asked, body)
        if not name:
            return self._list(bucket, asked)
        return self._object(bucket, name, method, asked, headers, body)

    def _object(
        self,
        bucket: Bucket,
        name: str,
        method: str,
        asked: dict[str, str],
        headers: dict[str, str],
        body: bytes,
    ) -> Answer:
        if method == "PUT":
            metadata = {k: v for k, v in headers.items() if k.startswith("opc-meta-")}
            self._put(bucket, name, body, metadata)
            return 200, b"", {}
        versions = bucket.objects.get(name, [])
        if not versions:
            return _missing("ObjectNotFound")
        if method == "DELETE":
            wanted = asked.get("versionId", versions[-1].id)
            bucket.objects[name] = [one for one in versions if one.id != wanted]
            if not bucket.objects[name]:
                del bucket.objects[name]
            return 204, b"", {}
        last = versions[-1]
        facts = {"etag": last.etag, **last.metadata}
        return 200, last.body, facts

    def _put(self, bucket: Bucket, name: str, body: bytes, metadata: dict[str, str]) -> None:
        number = next(self.number)
        version = Version(body, metadata, f"etag-{number}", f"version-{number}")
        bucket.objects.setdefault(name, []).append(version)
        self.sent.append(name)

    def _multipart(
        self, bucket: Bucket, name: str, method: str, asked: dict[str, str], body: bytes
    ) -> Answer:
        if method == "POST" and not name:
            begun = json.loads(body)
            upload = f"upload-{next(self.number)}"
            bucket.parts[upload] = {}
            bucket.asked[upload] = begun.get("metadata") or {}
            self.begun[upload] = begun["object"]
            where = {"uploadId": upload, "object": begun["object"], "bucket": "b", "namespace": "n"}
            return _json(where)
        if method == "GET" and not name:
            begun = [{"object": self.begun[key], "uploadId": key} for key in bucket.parts]
            return _json(begun)
        upload = asked["uploadId"]
        if method == "GET":
            parts = [
                {"partNumber": n, "etag": f"part-{n}", "md5": _md5(part), "size": len(part)}
                for n, part in sorted(bucket.parts[upload].items())
            ]
            return _json(parts)
        if method == "PUT":
            self.parts += 1
            bucket.parts[upload][int(asked["uploadPartNum"])] = body
            etag = f"part-{asked['uploadPartNum']}"
            return 200, b"", {"etag": etag, "opc-content-md5": _md5(body)}
        if method == "POST":
            parts = bucket.parts.pop(upload)
            chosen = sorted(part["partNum"] for part in json.loads(body)["partsToCommit"])
            metadata = {k.lower(): v for k, v in bucket.asked.pop(upload).items()}
            self._put(bucket, name, b"".join(parts[number] for number in chosen), metadata)
            return 200, b"", {"etag": "e"}
        bucket.parts.pop(upload, None)
        return 204, b"", {}

    def _list(self, bucket: Bucket, asked: dict[str, str]) -> Answer:
        items = [
            {"name": name, "etag": versions[-1].etag, "size": len(versions[-1].body)}
            for name, versions in sorted(bucket.objects.items())
            if name.startswith(asked.get("prefix", ""))
        ]
        return _json({"objects": items, "prefixes": []})

    def _versions(self, bucket: Bucket, asked: dict[str, str]) -> Answer:
        items = [
            {
                "name": name,
                "versionId": one.id,
                "etag": one.etag,
                "isDeleteMarker": False,
                "timeModified": "2026-01-01T00:00:00Z",
            }
            for name, versions in sorted(bucket.objects.items())
            if name.startswith(asked.get("prefix", ""))
            for one in versions
        ]
        return _json({"items": items, "prefixes": []})


def _md5(part: bytes) -> str:
    return base64.b64encode(hashlib.md5(part).digest()).decode()


def _json(value: Any) -> Answer:
    return 200, json.dumps(value).encode(), {}


def _missing(code: str) -> Answer:
    return 404, json.dumps({"code": code, "message": "it does not exist"}).encode(), {}
