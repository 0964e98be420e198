from __future__ import annotations

import pytest

from embedway_upstream import Anonymous, Endpoint, HTTPReply, Plain, UpstreamError, UpstreamRefused
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Facts, merged
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.inquiry import betrayal, learned, questions
from embedway_upstream.platforms.aicore import AICore
from embedway_upstream.platforms.oci import OCI
from embedway_upstream.platforms.oci_region import region_conflict
from embedway_upstream.platforms.platform import Platform

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
DEPLOYMENT = f"https://modeldeployment.us-ashburn-1.oci.customer-oci.com/{OCID}"


def endpoint(engine: str, platform: Platform) -> Endpoint:
    made = ENGINES[engine](Options(model="m"))
    return Endpoint(name="up", engine=made, platform=platform, credentials=Anonymous())


@pytest.mark.parametrize(
    ("engine", "platform", "urls"),
    [
        ("tei", Plain("http://a"), ["http://a/info", "http://a/health"]),
        ("vllm", Plain("http://a/v1"), ["//a/v1/models", "//a/version", "//a/health"]),
        ("tei", Plain("http://a/b/v1/"), ["http://a/b/info", "http://a/b/health"]),
        ("infinity", Plain("http://a/v1"), ["http://a/v1/models", "http://a/health"]),
        ("onnx", Plain("http://a"), []),
        ("tei", OCI(DEPLOYMENT), []),
        ("tei", OCI(DEPLOYMENT, invoke="route"), []),
        ("openai", OCI(DEPLOYMENT, invoke="suffix"), [f"{DEPLOYMENT}/predict/v1/models"]),
        ("openai", AICore("https://a/d1"), ["https://a/d1/v1/models"]),
        ("infinity", AICore("https://a/d1"), ["https://a/d1/v1/models"]),
        ("vllm", AICore("https://a/d1/v1"), ["https://a/d1/v1/models"]),
        ("tei", AICore("https://a/d1"), []),
    ],
)
def test_what_is_asked_and_where(engine: str, platform: Platform, urls: list[str]) -> None:
    asked = questions(endpoint(engine, platform))

    assert [one.call.method for one in asked] == ["GET"] * len(urls)
    for one, url in zip(asked, urls, strict=True):
        assert one.call.url.endswith(url)


def test_the_platforms_headers_go_along() -> None:
    [asked] = questions(endpoint("openai", AICore("https://a/d1", resource_group="mine")))

    assert asked.call.headers["AI-Resource-Group"] == "mine"


def test_each_kind_of_server_is_known_by_a_path_of_its_own() -> None:
    asked = betrayal(endpoint("openai", Plain("http://a")))

    assert {one.engine: one.call.url for one in asked} == {
        "tei": "http://a/info",
        "ovms": "http://a/v1/config",
        "vllm": "http://a/version",
        "infinity": "http://a/models",
    }


def test_what_is_not_there_tells_nothing() -> None:
    one = endpoint("openai", Plain("http://a"))
    [asked] = questions(one)

    for reply in (
        HTTPReply(404, {}, b""),
        HTTPReply(405, {}, b""),
        HTTPReply(200, {}, b"<html>"),
        HTTPReply(302, {}, b""),
    ):
        assert learned(one, asked, reply) is None


@pytest.mark.parametrize(("status", "kind"), [(401, UpstreamRefused), (503, UpstreamError)])
def test_a_refusal_and_a_failure_are_told(status: int, kind: type[Exception]) -> None:
    one = endpoint("openai", Plain("http://a"))
    [asked] = questions(one)

    with pytest.raises(kind):
        learned(one, asked, HTTPReply(status, {}, b""))


def test_the_first_who_tells_a_fact_is_believed() -> None:
    whole = merged(
        [
            Facts(version="1", limits=Limits(max_tokens=5)),
            Facts(version="2", models=("m",), truncates=False, limits=Limits(max_tokens=6)),
            Facts(models=("n",), truncates=True, limits=Limits(max_inputs=7)),
        ]
    )

    assert whole == Facts(
        version="1",
        models=("m",),
        truncates=False,
        limits=Limits(max_tokens=5, max_inputs=7),
    )
    assert merged([]) == Facts()


@pytest.mark.parametrize(
    ("host", "region", "conflict"),
    [
        ("modeldeployment.us-ashburn-1.oci.customer-oci.com", "iad", ""),
        ("modeldeployment.us-phoenix-1.oci.customer-oci.com", "iad", "us-ashburn-1"),
        ("modeldeployment.us-phoenix-1.oci.customer-oci.com", "eu-frankfurt-1", "eu-frankfurt-1"),
        ("md.datascience.eu-dcc-milan-1.oci.oraclecloud9.com", "eu-dcc-milan-1", ""),
        ("modeldeployment.eu-zurich-1.oci.customer-oci.com", "zrh", ""),
        ("private.example.com", "iad", ""),
    ],
)
def test_a_host_of_another_region_than_the_ocid(host: str, region: str, conflict: str) -> None:
    found = region_conflict(f"https://{host}/ocid1.datasciencemodeldeployment.oc1.{region}.xxx")

    assert bool(found) == bool(conflict)
    assert conflict in found
