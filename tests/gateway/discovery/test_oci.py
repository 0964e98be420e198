"""OCI's control plane: all pages, one broken item hides nothing, refusals name the cure."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from doubles.oci_control_plane import OCIControlPlane, deployment
from doubles.serving import free_port, served
from doubles.time import Time
from embedway_gateway.discovery import OCISource, control_plane
from embedway_gateway.wire import WireTransport
from embedway_upstream import (
    BadReply,
    EmbeddingError,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamUnreachable,
)

PREDICT = {"MODEL_DEPLOY_PREDICT_ENDPOINT": "/v1/embeddings"}


class Signer:
    """Credentials that count, and whose signature the double may look at."""

    def __init__(self, *, renewable: bool = True) -> None:
        self.refreshes: list[bool] = []
        self.renewable = renewable

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        return {"authorization": f"Signature planted-{len(self.refreshes)}"}

    def stale(self) -> bool:
        return not self.refreshes

    def due(self) -> bool:
        return False

    def refresh(self, force: bool = False) -> bool:
        self.refreshes.append(force)
        return self.renewable


@asynccontextmanager
async def source(plane: OCIControlPlane, **options: Any) -> AsyncIterator[tuple[OCISource, Time]]:
    time, transport = Time(), WireTransport()
    with served(plane) as url:
        for items in plane.compartments.values():
            for item in items:
                if isinstance(item, dict) and "example" in str(item.get("modelDeploymentUrl")):
                    item["modelDeploymentUrl"] = f"{url}/{item['id']}"
        made = OCISource(
            endpoint=control_plane("", options.pop("service_endpoint", "{}").format(url)),
            compartment_id=options.pop("compartment_id", "c1"),
            credentials=options.pop("credentials", Signer()),
            transport=transport,
            clock=time,
            sleep=time.sleep,
            **options,
        )
        try:
            yield made, time
        finally:
            await transport.close()


def plane(*items: Any, **options: Any) -> OCIControlPlane:
    return OCIControlPlane(compartments={"c1": list(items)}, **options)


async def test_all_pages() -> None:
    items = [deployment(number, variables=PREDICT) for number in range(250)]
    async with source(api := plane(*items)) as (oci, _):
        found = await oci.list()

    assert [item["id"] for item in items] == [one.deployment for one in found]
    assert 3 == len(api.seen)
    assert "/20190101/modelDeployments?compartmentId=c1&limit=100" == api.seen[0]
    assert api.seen[2].endswith("&page=200")
    assert all(
        one.url == item["modelDeploymentUrl"] for one, item in zip(found, items, strict=True)
    )


async def test_a_deployment_on_two_pages_is_one() -> None:
    item = deployment(1, variables=PREDICT)
    async with source(plane(item, item, page_size=1)) as (oci, _):
        assert 1 == len(await oci.list())


@pytest.mark.parametrize(
    ("state", "serves"),
    [
        ("ACTIVE", True),
        ("UPDATING", True),
        ("NEEDS_ATTENTION", False),
        ("CREATING", False),
        ("INACTIVE", False),
        ("DELETED", False),
        ("UNKNOWN_ENUM_VALUE", False),
        (None, False),
    ],
)
async def test_active_and_updating_serve(state: str | None, serves: bool) -> None:
    async with source(plane(deployment(1, state=state, variables=PREDICT))) as (oci, _):
        assert serves == bool(await oci.list())


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        {},
        {"id": "x", "lifecycleState": "ACTIVE"},
        {**deployment(9), "modelDeploymentUrl": "http://169.254.169.254/latest"},
        {**deployment(9), "modelDeploymentUrl": "https://user:planted@h/x"},
        {**deployment(9), "modelDeploymentUrl": "https://h:99999/x"},
        {**deployment(9), "modelDeploymentUrl": "https://h/x?y"},
        {**deployment(9), "id": None},
        {**deployment(9), "modelDeploymentConfigurationDetails": {"deploymentType": "NEW"}},
        {**deployment(9), "modelDeploymentConfigurationDetails": [1]},
        deployment(9, variables={**PREDICT, "PARAMS": 'a "quote'}, tags={"embedway": "a,b"}),
        deployment(9, variables={"MULTI_MODEL_CONFIG": "{"}, environment="UNKNOWN_ENUM_VALUE"),
        deployment(9, image="x/text-embeddings-inference:1"),
    ],
)
async def test_one_broken_item_hides_nothing(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    good = [deployment(number, variables=PREDICT) for number in (1, 2)]
    async with source(plane(good[0], broken, good[1])) as (oci, _):
        for _round in range(2):
            assert [item["id"] for item in good] == [one.deployment for one in await oci.list()]

    assert len(caplog.records) <= 1, "a problem is said once"
    assert "planted" not in caplog.text


async def test_names_are_asked_for_where_the_suffix_style_offers_it() -> None:
    item = deployment(1, specification="openai")
    listed = {"data": [{"id": "BAAI/bge", "owned_by": "vllm"}, {"id": 7}, None]}
    async with source(api := plane(item, served={item["id"]: listed})) as (oci, time):
        for _ in range(3):
            (one,) = await oci.list()
        asked = [path for path in api.seen if path.endswith("/predict/v1/models")]
        assert 1 == len(asked), "kept for ten minutes"
        assert ("BAAI/bge", "BAAI/bge", "vllm") == (one.name, one.model, one.engine)

        time.now += 601
        api.served[item["id"]] = 503
        (one,) = await oci.list()
        assert "BAAI/bge" == one.name, "a name does not change because of a lost answer"
        api.served[item["id"]] = {"data": [{"id": "other"}]}
        item["lifecycleState"] = "UPDATING"
        (one,) = await oci.list()
        assert "other" == one.name


@pytest.mark.parametrize("answer", [404, 503, {"data": None}, [], {"data": []}])
async def test_what_does_not_say_what_it_serves_is_found_all_the_same(answer: Any) -> None:
    item = deployment(1, specification="openai")
    async with source(plane(item, served={item["id"]: answer})) as (oci, _):
        (one,) = await oci.list()
    assert ("deployment 1", None) == (one.name, one.model)


async def test_custom_endpoints_are_asked_where_they_offer_it() -> None:
    endpoints = [
        {"endpointUriSuffix": "/embeddings", "httpMethods": ["POST"]},
        {"endpointUriSuffix": "/models", "httpMethods": ["GET"]},
    ]
    item = deployment(1, endpoints=endpoints)
    listed = {"data": [{"id": "a/b", "owned_by": "infinity", "capabilities": ["embed", "x"]}]}
    async with source(api := plane(item, served={item["id"]: listed})) as (oci, _):
        (one,) = await oci.list()
    assert api.seen[-1].endswith("/predict/models")
    assert ("a/b", "infinity", {"embed"}) == (one.name, one.engine, one.capabilities)


@pytest.mark.parametrize(
    ("model", "engine", "capability"),
    [
        ({"freeformTags": {"task": "text_embedding"}}, "vllm", {"embed"}),
        ({"freeformTags": {"task": "text_generation"}}, "vllm", {"chat"}),
        ({"freeformTags": {}}, "vllm", {"embed", "chat"}),
        (None, "vllm", {"embed", "chat"}),
        ([], "vllm", {"embed", "chat"}),
    ],
)
async def test_the_catalogues_model_tells_what_marks_do_not(
    model: Any, engine: str, capability: set[str]
) -> None:
    item = deployment(1, tags={"OCI_AQUA": "active"}, image="dsmc://odsc-vllm-serving:0.11")
    api = plane(item, models={"ocid1.datasciencemodel.oc1.iad.m0001": model})
    async with source(api) as (oci, _):
        for _round in range(2):
            (one,) = await oci.list()
    assert (engine, capability) == (one.engine, one.capabilities)
    if model:
        assert 1 == len([path for path in api.seen if "/models/" in path])


async def test_the_catalogues_container() -> None:
    metadata = [None, {"key": "deployment-container", "value": "odsc-tei-serving"}]
    item = deployment(1, tags={"OCI_AQUA": "active"}, image="dsmc://x:1")
    api = plane(
        item, models={"ocid1.datasciencemodel.oc1.iad.m0001": {"customMetadataList": metadata}}
    )
    async with source(api) as (oci, _):
        (one,) = await oci.list()
    assert ("tei", "route", {"embed"}) == (one.engine, one.invoke, one.capabilities)


@pytest.mark.parametrize("fault", [429, 500, 503, (429, {"retry-after": "2"})])
async def test_a_passing_failure_is_tried_again(fault: Any) -> None:
    api = plane(deployment(1, variables=PREDICT))
    api.faults += [fault, fault]
    async with source(api) as (oci, time):
        assert 1 == len(await oci.list())
    assert ([2.0, 2.0] if isinstance(fault, tuple) else [0.5, 1.0]) == time.slept


@pytest.mark.parametrize(
    ("faults", "kind", "says"),
    [
        ([404], UpstreamRefused, "policy"),
        ([403], UpstreamRefused, "policy"),
        ([401, 401], UpstreamRefused, "signature"),
        ([400], EmbeddingError, "invalid"),
        ([500] * 3, UpstreamFailed, "failed"),
        ([429] * 3, RateLimited, "slow down"),
        ([(429, {"retry-after": "60"})], RateLimited, "slow down"),
    ],
)
async def test_a_refusal_names_the_cure(
    faults: list[Any], kind: type[EmbeddingError], says: str
) -> None:
    api = plane()
    api.faults += faults
    async with source(api) as (oci, _):
        with pytest.raises(kind, match=says) as caught:
            await oci.list()
    assert "secret words" not in caught.value.message + caught.value.detail
    assert "planted" not in caught.value.message + caught.value.detail
    assert not api.faults


async def test_after_a_401_it_signs_afresh() -> None:
    signer = Signer()
    api = plane(deployment(1, variables=PREDICT))
    api.verify = lambda method, path, headers: headers["authorization"].endswith("planted-2")
    async with source(api, credentials=signer) as (oci, _):
        assert 1 == len(await oci.list())
    assert [False, True] == signer.refreshes


async def test_what_cannot_be_renewed_is_not_tried_twice() -> None:
    api = plane()
    api.faults.append(401)
    async with source(api, credentials=Signer(renewable=False)) as (oci, _):
        with pytest.raises(UpstreamRefused):
            await oci.list()
    assert 1 == len(api.seen)


async def test_a_compartment_that_is_not_there() -> None:
    async with source(plane(), compartment_id="other") as (oci, _):
        with pytest.raises(UpstreamRefused, match="compartment"):
            await oci.list()


async def test_a_list_without_an_end_is_given_up() -> None:
    async with source(plane(*[deployment(1)], endless=True)) as (oci, _):
        with pytest.raises(BadReply, match="does not end"):
            await oci.list()


async def test_nobody_there() -> None:
    transport = WireTransport()
    oci = OCISource(
        endpoint=f"http://127.0.0.1:{free_port()}",
        compartment_id="c1",
        credentials=Signer(),
        transport=transport,
    )
    with pytest.raises(UpstreamUnreachable):
        await oci.list()
    await transport.close()


@pytest.mark.parametrize(
    ("region", "endpoint", "expected"),
    [
        ("us-ashburn-1", None, "https://datascience.us-ashburn-1.oci.oraclecloud.com/20190101"),
        ("iad", None, "https://datascience.us-ashburn-1.oci.oraclecloud.com/20190101"),
        (
            "us-gov-phoenix-1",
            None,
            "https://datascience.us-gov-phoenix-1.oci.oraclegovcloud.com/20190101",
        ),
        ("eu-frankfurt-2", None, "https://datascience.eu-frankfurt-2.oci.oraclecloud.eu/20190101"),
        ("", "http://127.0.0.1:1/", "http://127.0.0.1:1/20190101"),
        ("x", "https://h/20190101", "https://h/20190101"),
    ],
)
def test_where_the_control_plane_is(region: str, endpoint: str | None, expected: str) -> None:
    pytest.importorskip("oci")
    assert expected == control_plane(region, endpoint)


def test_neither_region_nor_endpoint() -> None:
    with pytest.raises(ValueError, match="region"):
        control_plane("")


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "embedway")
    api = plane(deployment(1, variables={**PREDICT, "KEY": "planted-value"}), {"id": "planted"})
    async with source(api) as (oci, _):
        (one,) = await oci.list()
    assert "planted" not in caplog.text + repr(one) + repr(oci)
