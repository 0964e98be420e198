"""What is sent is what was signed, and nothing that was not meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.oci_identity import private_key
from embedway_gateway.wire.address import Origin, head_of, place_of
from embedway_upstream.credentials.signature import sign
from embedway_upstream.credentials.snapshot import Snapshot

DATE = "Thu, 05 Jan 2014 21:31:40 GMT"


def signed(method: str, url: str, body: bytes) -> dict[str, str]:
    snapshot = Snapshot(key_id="a/b/c", key=private_key())
    return sign(snapshot, method, url, body, content_type="application/json", date=DATE)


@pytest.mark.parametrize(
    "url",
    [
        "https://modeldeployment.us-ashburn-1.oci.customer-oci.com/ocid1.x/predict",
        "https://modeldeployment.example:443/ocid1.x/predict",
        "https://Host.Example:8443/20180401/Items?a=%41&b=+&c",
        "https://h.example",
        "https://h.example/?",
        "https://h.example/a%2fb//c/../d;e=f#part",
        "https://[2001:db8::1]:8443/a",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_host_and_target_are_the_signed_ones(method: str, url: str) -> None:
    body = b"{}" if method == "POST" else b""
    headers = signed(method, url, body)

    _, target, host = place_of(url)
    lines = head_of(method, target, host, headers, len(body)).decode().split("\r\n")

    assert headers["host"] == host
    assert 1 == [line.partition(":")[0] for line in lines].count("host")
    assert (f"content-length: {len(body)}" in lines) is (method == "POST")
    path = url.partition("//")[2].partition("/")[2].partition("#")[0].removesuffix("?")
    assert f"{method} /{path} HTTP/1.1" == lines[0]
    assert {f"{name}: {value}" for name, value in headers.items()} <= set(lines)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://h/", Origin("h", 80, tls=False)),
        ("https://h/", Origin("h", 443, tls=True)),
        ("https://H:8443/", Origin("h", 8443, tls=True)),
        ("http://[::1]:9/", Origin("::1", 9, tls=False)),
    ],
)
def test_origins(url: str, origin: Origin) -> None:
    assert origin == place_of(url)[0]


def test_a_whole_head() -> None:
    head = head_of("POST", "/a?b", "h:1", {"content-type": "text/plain"}, 2)

    assert (
        b"POST /a?b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n"
        b"user-agent: embedway\r\naccept-encoding: identity\r\n\r\n"
    ) == head


def test_what_the_caller_gives_stands_once() -> None:
    head = head_of("GET", "/", "h", {"User-Agent": "mine", "Host": "other"}, 0)

    assert (
        b"GET / HTTP/1.1\r\nUser-Agent: mine\r\nHost: other\r\naccept-encoding: identity\r\n\r\n"
        == head
    )


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_a_head_has_the_headers_that_were_given_or_is_refused(headers: dict[str, str]) -> None:
    try:
        head = head_of("GET", "/", "h", headers, 0)
    except ValueError:
        return
    lines = head.decode("latin-1").split("\r\n")
    given = [f"{name}: {value}" for name, value in headers.items()]
    assert all(line in lines for line in given)
    names = {name.lower() for name in headers}
    assert 3 + len(headers) + len({"host", "user-agent", "accept-encoding"} - names) == len(lines)
