"""The page's files and what it asks, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doubles.team import TEXTS, Team, team

STATIC = Path(__file__).parents[4] / "gateway/embedway_gateway/web/console/static"
FILES = sorted(path.name for path in STATIC.iterdir())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    given = {"app": {}, "narrow": {"models": ["m"]}}
    with team(tmp_path_factory.mktemp("team"), given) as one:
        yield one


def state(world: Team, secret: str) -> dict[str, Any]:
    with world.http(secret) as http:
        found: dict[str, Any] = http.get("/console/state").json()
    return found


def test_the_page_is_open_and_holds_nothing_of_the_gateway(world: Team) -> None:
    with world.http() as http:
        page = http.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        said = page.text + "".join(http.get(f"/console/{name}").text for name in FILES)
        assert http.head("/").status_code == 200
    for name in ("org/m", "openai-org", world.admin, world.keys.path.name):
        assert name not in said


def test_the_page_may_load_its_own_files_only(world: Team) -> None:
    with world.http() as http:
        for path in ("/", *(f"/console/{name}" for name in FILES)):
            headers = http.get(path).headers
            policy = dict(
                part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
            )
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == policy["form-action"] == "'none'"
            assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
            assert headers["x-content-type-options"] == "nosniff"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for name in FILES:
        text = (STATIC / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|\burl\(", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write", text), name
        assert not re.search(r"localStorage|sessionStorage|indexedDB|\.cookie", text), name


def test_the_page_is_small() -> None:
    assert sum((STATIC / name).stat().st_size for name in FILES) < 64_000


def test_a_file_that_is_known_is_not_sent_again(world: Team) -> None:
    with world.http() as http:
        tag = http.get("/console/app.js").headers["etag"]
        again = http.get("/console/app.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "%2e%2e/page.py", "page.py"])
def test_there_are_no_other_files(world: Team, name: str) -> None:
    with world.http() as http:
        answer = http.get(httpx.URL(f"{world.url}/console/{name}"))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_route"


def test_a_caller_learns_whether_its_models_are_ready_and_no_more(world: Team) -> None:
    found = state(world, world.secrets["narrow"])
    assert found["models"] == [{"id": "org/m", "ready": True}]
    assert not found["admin"]


def test_an_admin_sees_upstreams_and_what_they_did(world: Team) -> None:
    before = state(world, world.admin)["models"][0]
    with world.client(world.secrets["app"]) as client:
        for text in ("one", "two"):
            client.embeddings.create(model="m", input=[text])
    after = state(world, world.admin)["models"][0]

    assert after["requests"]["ok"] == before["requests"]["ok"] + 2
    assert after["texts"] == before["texts"] + 2
    assert after["cache"] is None
    (upstream,) = after["upstreams"]
    assert (upstream["name"], upstream["problem"], upstream["breaker"]) == (
        "openai-org",
        "",
        "closed",
    )
    assert upstream["calls"]["ok"] >= before["upstreams"][0]["calls"]["ok"] + 2
    assert upstream["seconds"]["count"] > 0
    assert world.url not in str(after)


def test_a_failed_call_is_counted(world: Team) -> None:
    before = state(world, world.admin)["models"][1]["upstreams"][0]["calls"]["failed"]
    world.embed.faults.extend([400])
    with world.http(world.secrets["app"]) as http:
        http.post("/v1/embeddings", json={"model": "other", "input": TEXTS})
    after = state(world, world.admin)["models"][1]["upstreams"][0]["calls"]["failed"]
    assert after == before + 1


def test_the_console_can_be_switched_off(tmp_path: Path) -> None:
    with team(tmp_path, server={"console": False}) as one, one.http(one.admin) as http:
        for path in ("/", "/console/app.js", "/console/state"):
            answer = http.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "unknown_route"
        assert http.get("/v1/models").status_code == 200


def test_without_keys_everybody_sees_all(world: Team) -> None:
    from doubles.serving import served
    from embedway_gateway.web.app import create_app

    config = world.app.config
    server = type(config.server).model_validate({})
    with (
        served(create_app(config.model_copy(update={"server": server}))) as url,
        httpx.Client(base_url=url) as http,
    ):
        found = http.get("/console/state").json()
    assert (found["guarded"], found["admin"]) == (False, True)
    assert found["models"][0]["upstreams"][0]["name"] == "openai-org"
