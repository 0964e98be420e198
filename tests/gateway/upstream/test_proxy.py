"""Which upstreams are called through a proxy."""

from __future__ import annotations

import pytest

from embedway_upstream.proxy import Proxies, read_proxies

BOTH = Proxies("http://plain:1", "http://secure:2")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Proxies()),
        ({"HTTPS_PROXY": "http://p:3128"}, Proxies("", "http://p:3128")),
        ({"HTTP_PROXY": "http://p:3128"}, Proxies("http://p:3128", "")),
        ({"ALL_PROXY": "http://p:1"}, Proxies("http://p:1", "http://p:1")),
        ({"ALL_PROXY": "http://p:1", "https_proxy": "q:2"}, Proxies("http://p:1", "http://q:2")),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, Proxies("", "http://a")),
        (
            {"https_proxy": " ", "NO_PROXY": "a, .B ,c:1 d"},
            Proxies("", "", ("a", ".b", "c:1", "d")),
        ),
    ],
)
def test_the_environment_is_read(environment: dict[str, str], expected: Proxies) -> None:
    assert expected == read_proxies(environment)
    assert bool(expected.http or expected.https) is bool(expected)


def test_the_scheme_decides() -> None:
    assert "http://plain:1" == BOTH.of("http://h.example/a")
    assert "http://secure:2" == BOTH.of("https://h.example/a")
    assert Proxies(https="http://p").of("http://h.example/") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "127.9.9.9"])
def test_this_machine_is_never_behind_a_proxy(host: str) -> None:
    assert BOTH.of(f"http://{host}/") is None


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("*", "https://h.example/", True),
        ("h.example", "https://h.example/", True),
        ("h.example", "https://H.EXAMPLE/", True),
        ("h.example", "https://h.example./", True),
        ("example", "https://h.example/", True),
        (".example", "https://h.example/", True),
        ("*.example", "https://h.example/", True),
        ("ample", "https://h.example/", False),
        ("x.h.example", "https://h.example/", False),
        (".", "https://h.example/", False),
        ("h.example:443", "https://h.example/", True),
        ("h.example:80", "https://h.example/", False),
        ("h.example:8443", "https://h.example:8443/", True),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("10.1.2.3:443", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.0.0.0/8", "https://h.example/", False),
        ("2001:db8::/32", "https://[2001:db8::1]/", True),
        ("2001:db8::1", "https://[2001:db8::2]/", False),
    ],
)
def test_hosts_without(entry: str, url: str, direct: bool) -> None:
    proxies = Proxies("http://p", "http://p", ("other.test", entry))
    assert direct is (proxies.of(url) is None)
