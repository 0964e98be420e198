"""OCI Data Science: addresses, and its errors told apart from an engine's."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.oci_platform import CODES, TENANCY_LIMIT
from doubles.time import Time
from embedway_upstream import (
    Anonymous,
    BatchTooLarge,
    EmbeddingError,
    EmbeddingRequest,
    Endpoint,
    HTTPCall,
    HTTPReply,
    InputTooLong,
    InvalidRequest,
    OpenAI,
    Upstream,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.platforms.error import AmbiguousFailure, PlatformLimited
from embedway_upstream.platforms.oci import OCI

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
URL = f"https://modeldeployment.us-ashburn-1.oci.customer-oci.com/{OCID}"
PATH = "/v1/embeddings"
NOW = 1.7e9
HEADERS = {"opc-request-id": "ABC/DEF/123", "date": formatdate(NOW, usegmt=True)}


def said(status: int, message: str | None = None, **headers: str) -> EmbeddingError:
    code, words = CODES[status]
    body = json.dumps({"code": code, "message": f"{message or words} {OCID}"}).encode()
    error = OCI(URL, clock=lambda: NOW).error(status, {**HEADERS, **headers}, body)
    assert error is not None
    assert OCID not in str(error) + error.detail
    assert f"status {status}, {code}, opc-request-id ABC/DEF/123" == error.detail
    return error


@pytest.mark.parametrize(
    ("invoke", "stream", "expected", "route"),
    [
        ("predict", False, "/predict", None),
        ("predict", True, "/predictWithResponseStream", None),
        ("route", False, "/predict", PATH),
        ("route", True, "/predictWithResponseStream", PATH),
        ("suffix", False, "/predict/v1/embeddings", None),
        ("suffix", True, "/predictWithResponseStream/v1/embeddings", None),
    ],
)
@pytest.mark.parametrize("tail", ["", "/", "/predict", "/predict/", "/predictWithResponseStream"])
def test_addresses(invoke: str, stream: bool, expected: str, route: str | None, tail: str) -> None:
    platform = OCI(URL + tail, invoke)  # type: ignore[arg-type]

    assert URL + expected == platform.address(PATH, stream=stream)
    assert route == platform.headers(PATH).get("route")


def test_each_call_has_an_id_of_its_own() -> None:
    ids = {OCI(URL).headers(PATH)["opc-request-id"] for _ in range(50)}

    assert 50 == len(ids)
    assert all(len(one) == 32 for one in ids)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, InvalidRequest, "invalid"),
        (401, UpstreamRefused, "clock"),
        (404, UpstreamRefused, "DATA_SCIENCE_MODEL_DEPLOYMENT_PREDICT"),
        (405, UpstreamRefused, "invoke: suffix"),
        (409, UpstreamRefused, "MODEL_DEPLOY_ENABLE_STREAMING"),
        (411, UpstreamRefused, "length"),
        (413, BatchTooLarge, "10 MB"),
        (429, PlatformLimited, "bandwidth"),
        (500, AmbiguousFailure, "60 seconds"),
        (503, UpstreamFailed, "not available"),
    ],
)
def test_what_the_platform_says(status: int, kind: type[EmbeddingError], words: str) -> None:
    error = said(status)

    assert type(error) is kind
    assert words in error.message
    assert "secret words" not in error.message


def test_the_two_limits_have_their_scopes() -> None:
    tenancy, bandwidth = said(429, TENANCY_LIMIT, **{"retry-after": "3"}), said(429)

    assert isinstance(tenancy, PlatformLimited)
    assert isinstance(bandwidth, PlatformLimited)
    assert ("tenancy", 3.0) == (tenancy.scope, tenancy.retry_after)
    assert ("deployment", None) == (bandwidth.scope, bandwidth.retry_after)


@pytest.mark.parametrize(
    ("off", "words"), [(600, "600 seconds behind"), (-420, "420 seconds ahead")]
)
def test_a_clock_that_is_wrong_is_seen(off: float, words: str) -> None:
    assert words in said(401, date=formatdate(NOW + off, usegmt=True)).message


@pytest.mark.parametrize("date", ["", "soon", formatdate(NOW + 5, usegmt=True)])
def test_a_clock_that_is_right_is_one_cause_of_many(date: str) -> None:
    assert "Likely: the security token has expired" in said(401, date=date).message


@pytest.mark.parametrize("request_id", ["", "a b", "x\ny", "é", "x" * 500])
def test_an_id_that_could_be_anything_is_not_kept(request_id: str) -> None:
    body = b'{"code":"ServiceUnavailable","message":""}'
    error = OCI(URL).error(503, {"opc-request-id": request_id}, body)
    assert error is not None
    assert "status 503, ServiceUnavailable" == error.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b"{}",
        b'{"message":"too many","code":429,"type":"Overloaded"}',
        b'{"error":"busy","error_type":"Overloaded"}',
        b'{"error":{"message":"x","code":"NotAuthenticated"}}',
        b'{"object":"error","message":"x","type":"BadRequestError","code":400}',
        b'{"code":"context_length_exceeded","message":"x"}',
        b'{"code":"Two words","message":"x"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_an_engines_words_are_left_to_the_engine(body: bytes) -> None:
    assert OCI(URL).error(429, HEADERS, body) is None


@given(st.integers(300, 599), st.binary(max_size=80))
def test_any_bytes_are_read_without_a_crash(status: int, body: bytes) -> None:
    OCI(URL).error(status, {}, body)


class Strict(OpenAI):
    def error(self, status: int, headers: object, body: bytes) -> EmbeddingError:
        return InvalidRequest("no model") if b"required property" in body else UpstreamFailed("?")


def test_an_engine_may_know_that_it_was_the_requests_fault() -> None:
    endpoint = Endpoint(
        name="one", engine=Strict(), platform=OCI(URL), credentials=Anonymous(), dimensions=8
    )
    for words, kind in (("'model' is a required property", InvalidRequest), ("", AmbiguousFailure)):
        body = json.dumps({"code": "InternalServerError", "message": words}).encode()
        with pytest.raises(kind) as caught:
            endpoint.read(HTTPReply(500, {}, body), EmbeddingRequest("m", ("a",)))
        assert "one" == caught.value.upstream


def test_what_the_platform_would_refuse_is_not_sent() -> None:
    endpoint = Endpoint(
        name="one", engine=OpenAI(), platform=OCI(URL), credentials=Anonymous(), dimensions=8
    )
    with pytest.raises(InputTooLong, match="takes 10000000"):
        endpoint.call(EmbeddingRequest("m", ("x" * 10_000_001,)))
    assert 60.0 == OCI(URL).max_seconds


@pytest.mark.parametrize(("took", "kind"), [(59.9, UpstreamTimeout), (2.0, AmbiguousFailure)])
async def test_how_long_it_took_tells_what_a_500_was(
    took: float, kind: type[EmbeddingError]
) -> None:
    time = Time()

    class Slow:
        async def send(self, call: HTTPCall) -> HTTPReply:
            time.now += took
            return HTTPReply(500, {}, b'{"code":"InternalServerError","message":""}')

    endpoint = Endpoint(
        name="one", engine=OpenAI(), platform=OCI(URL), credentials=Anonymous(), dimensions=8
    )
    with pytest.raises(UpstreamFailed if kind is AmbiguousFailure else kind) as caught:
        await Upstream(endpoint, Slow(), clock=time).send(EmbeddingRequest("m", ("a",)))
    assert kind is type(caught.value)
    assert "one" == caught.value.upstream


async def test_a_call_without_an_answer_keeps_the_id_that_was_sent() -> None:
    class Broken:
        async def send(self, call: HTTPCall) -> HTTPReply:
            raise UpstreamUnreachable("broke", detail="ServerDisconnected")

    platform = OCI(URL, new_id=lambda: "F" * 32)
    endpoint = Endpoint(name="one", engine=OpenAI(), platform=platform, credentials=Anonymous())
    with pytest.raises(UpstreamUnreachable) as caught:
        await Upstream(endpoint, Broken()).send(EmbeddingRequest("m", ("a",)))
    assert "ServerDisconnected, opc-request-id " + "F" * 32 == caught.value.detail
