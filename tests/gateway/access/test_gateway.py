"""Who is let in, to which models: as clients and operators meet it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from doubles.team import TEXTS, Team, team
from embedway_gateway.access.secret import digest, make_secret

BODIES: dict[str, Any] = {
    "/v1/embeddings": {"model": "org/m", "input": TEXTS},
    "/v1/rerank": {"model": "ranker", "query": "q", "documents": ["d"]},
    "/v2/rerank": {"model": "ranker", "query": "q", "documents": ["d"]},
    "/v1/chat/completions": {"model": "llama", "messages": []},
    "/v1/completions": {"model": "llama", "prompt": "p"},
    "/embed": {"model": "org/m", "inputs": TEXTS},
    "/rerank": {"model": "ranker", "query": "q", "texts": ["d"]},
}
# Whatever else is served must ask for a key.
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json")} | {
    ("GET", "/"),
    ("GET", "/console/{name}"),
}
ADMIN = {("GET", "/admin/usage"), ("GET", "/metrics")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    given = {
        "app": {},
        # For one model that it names by its alias, and one by a glob.
        "narrow": {"models": ["m", "rank*"]},
        "counted": {},
        "turning": {},
        "gone": {},
        "short": {"expires": datetime.now(UTC) + timedelta(seconds=8)},
    }
    with team(tmp_path_factory.mktemp("team"), given) as one:
        yield one


@pytest.fixture(scope="module")
def app_key(world: Team) -> str:
    return world.secrets["app"]


@pytest.fixture(scope="module")
def narrow(world: Team) -> str:
    return world.secrets["narrow"]


def routes(world: Team) -> set[tuple[str, str]]:
    """Every method and path that is answered, whoever answers it."""
    hot: Any = world.app._app
    inner: FastAPI = hot._app
    found = {("POST", path) for path in hot._routes}
    for route in iter_route_contexts(inner.routes):
        assert route.path is not None
        found |= {(method, route.path) for method in route.methods or ()}
    found |= {
        (method.upper(), path)
        for path, methods in inner.openapi()["paths"].items()
        for method in methods
    }
    return {(method, path.replace(":path", "")) for method, path in found if method != "HEAD"}


def test_every_route_asks_for_a_key(world: Team, app_key: str) -> None:
    asked = routes(world) - OPEN
    assert len(asked) >= 11
    with world.http() as http:
        for method, path in sorted(asked):
            url = path.replace("{name}", "org/m")
            for headers in ({}, {"authorization": "Bearer nonsense"}, {"x-api-key": "nonsense"}):
                answer = http.request(method, url, json=BODIES.get(path), headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
            # Before anything that was sent is looked at.
            assert http.request(method, url, content=b"nonsense").status_code == 401
    with world.http(app_key) as http:
        for method, path in sorted(asked):
            url = path.replace("{name}", "org/m")
            answer = http.request(method, url, json=BODIES.get(path))
            wanted = 403 if (method, path) in ADMIN else 200
            assert answer.status_code == wanted, (path, answer.text)


@pytest.mark.parametrize(
    "path",
    [
        "//v1/embeddings",
        "/v1//embeddings",
        "/v1/embeddings/",
        "/healthz/../v1/models",
        "/V1/models",
    ],
)
def test_no_spelling_of_a_path_gets_past(world: Team, path: str) -> None:
    with world.http() as http:
        for method in ("GET", "POST"):
            answer = http.request(method, httpx.URL(world.url + path), json=BODIES["/embed"])
            assert answer.status_code in {401, 404, 405}, path
            assert "embedding" not in answer.json()


def test_what_probes_ask_is_open_and_names_nothing(world: Team) -> None:
    with world.http() as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/readyz").json() == {"status": "ready"}
    with world.http(world.admin) as http:
        assert set(http.get("/readyz").json()) == {"status", "problems", "quarantined"}


def test_the_openai_client_embeds_and_chats_with_its_key(world: Team, app_key: str) -> None:
    with world.client(app_key) as client:
        answer = client.embeddings.create(model="m", input=TEXTS)
        assert len(answer.data[0].embedding) == 8
        said = client.chat.completions.create(model="llama", messages=[])
        assert said.choices[0].message.content


@pytest.mark.parametrize("form", ["x-api-key", "api-key", "authorization", "Authorization"])
def test_a_key_may_come_in_the_headers_that_others_use(
    world: Team, app_key: str, form: str
) -> None:
    value = f"bearer  {app_key}" if form.lower() == "authorization" else app_key
    with world.http() as http:
        answer = http.post("/v1/embeddings", json=BODIES["/v1/embeddings"], headers={form: value})
    assert answer.status_code == 200


def test_nothing_of_a_key_reaches_an_upstream(world: Team, app_key: str) -> None:
    world.embed.seen.clear()
    with world.client(app_key) as client:
        client.embeddings.create(model="m", input="where does the key go")
    (seen,) = world.embed.seen

    assert app_key not in json.dumps(seen.headers)
    assert not {"authorization", "x-api-key", "api-key"} & set(seen.headers)


def test_a_wrong_key_is_refused_in_openais_form(world: Team) -> None:
    with world.client(make_secret()) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.embeddings.create(model="m", input=TEXTS)

    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"


def test_expired_and_revoked_keys_are_refused(world: Team) -> None:
    gone, short = world.secrets["gone"], world.secrets["short"]
    world.taken_over(gone)
    world.keys.revoke("gone")
    for secret, word in ((gone, "revoked"), (short, "expired")):
        with world.http(secret) as http:
            world.wait(lambda http=http: http.get("/v1/models").status_code == 401)
            assert word in http.get("/v1/models").json()["error"]["message"]


def test_both_keys_of_a_rotation_open(world: Team) -> None:
    old = world.secrets["turning"]
    new = world.keys.rotate("turning", hours=24)
    world.taken_over(new)
    for secret in (old, new):
        with world.client(secret) as client:
            client.embeddings.create(model="m", input=TEXTS)


def test_a_key_sees_its_own_models_only(world: Team, narrow: str) -> None:
    with world.client(narrow) as client:
        assert [model.id for model in client.models.list()] == ["org/m", "ranker"]
        assert client.models.retrieve("m").id == "org/m"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/v1/chat/completions"])
@pytest.mark.parametrize("name", ["other", "llama", "no such"])
def test_a_model_of_others_is_as_one_that_is_not_there(
    world: Team, narrow: str, path: str, name: str
) -> None:
    with world.http(narrow) as http:
        answer = http.post(path, json={**BODIES[path], "model": name})

    assert answer.status_code == 404
    assert "org/m, ranker" in answer.text
    assert "other" not in answer.text.replace(f"'{name}'", "")
    if path != "/embed":
        assert answer.json()["error"]["code"] == "model_not_found"


def test_the_only_model_is_the_only_one_of_the_key(world: Team, narrow: str, app_key: str) -> None:
    with world.http(narrow) as http:
        assert http.post("/embed", json={"inputs": "x"}).status_code == 200
    with world.http(app_key) as http:
        assert http.post("/embed", json={"inputs": "x"}).status_code == 400


def test_planted_secrets_are_in_no_log_no_error_and_no_metric(
    world: Team, app_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    planted = [
        app_key,
        make_secret(),
        "planted.token.x",
        "planted-plain",
        digest(app_key.encode()).hex(),
    ]
    said = ""
    with caplog.at_level(logging.DEBUG), world.http() as http:
        for secret in planted:
            for headers in ({"authorization": f"Bearer {secret}"}, {"api-key": secret}):
                for path, body in BODIES.items():
                    said += http.post(path, json={**body, "model": 5}, headers=headers).text
                    said += http.post(path, json=body, headers=headers).text
        said += http.get("/metrics", headers={"x-api-key": world.admin}).text
    said += caplog.text + "".join(str(vars(record)) for record in caplog.records)
    said += repr(world.app.__dict__) + repr(vars(world.app._guard))

    assert 'key="app"' in said
    for secret in [*planted, world.admin]:
        assert secret not in said.replace("HTTP Request", "")


def test_the_log_names_the_key_and_refusals_are_counted(
    world: Team, app_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = world.counted("refused_callers_total", reason="unknown_key")
    with caplog.at_level(logging.INFO, "embedway.request"), world.client(app_key) as client:
        client.embeddings.create(model="m", input=TEXTS)
        with world.client(make_secret()) as wrong, pytest.raises(openai.AuthenticationError):
            wrong.models.list()
    world.wait(lambda: len(caplog.records) >= 2)

    assert [record.facts.get("key") for record in caplog.records] == ["app", None]
    assert world.counted("refused_callers_total", reason="unknown_key") == before + 1


def test_a_file_that_became_wrong_or_is_gone_shuts_nobody_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        team(tmp_path, {"app": {}}) as one,
        caplog.at_level(logging.ERROR, "embedway.gateway"),
    ):
        secret = one.secrets["app"]
        good = one.keys.path.read_bytes()
        for spoil in (lambda: one.keys.path.write_text("keys: [{"), one.keys.path.unlink):
            caplog.clear()
            spoil()
            one.wait(lambda: "the old ones stay" in caplog.text)
            one.taken_over(secret)
        one.keys.path.write_bytes(good)
        one.keys.path.chmod(0o600)
        one.keys.revoke("app")
        with one.http(secret) as http:
            one.wait(lambda: http.get("/v1/models").status_code == 401)


def test_models_and_metrics_may_be_left_open(tmp_path: Path) -> None:
    opened = {"open_models": True, "open_metrics": True}
    given = {"narrow": {"models": ["m"]}}
    with team(tmp_path, given, server=opened) as one, one.http() as http:
        with one.http(one.secrets["narrow"]) as narrow:
            assert len(narrow.get("/v1/models").json()["data"]) == 1
        assert len(http.get("/v1/models").json()["data"]) == 4
        assert http.get("/v1/models/m").status_code == 200
        assert http.get("/metrics").status_code == 200
        assert http.post("/embed", json=BODIES["/embed"]).status_code == 401


def test_usage_is_for_admins_and_adds_up(world: Team, app_key: str) -> None:
    secret = world.secrets["counted"]
    with world.client(secret) as client:
        tokens = client.embeddings.create(model="m", input=["a", "b"]).usage.total_tokens
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="no such", input="a")
        world.embed.faults.extend([400] * 8)
        with pytest.raises(openai.APIStatusError):
            client.embeddings.create(model="m", input="refused")
        world.embed.reset()
        stream = client.chat.completions.create(model="llama", messages=[], stream=True)
        list(stream)
    with world.http(app_key) as http:
        assert http.get("/admin/usage").status_code == 403
    with world.http(world.admin) as http:
        rows = http.get("/admin/usage", params={"key": "counted"}).json()["data"]
        total = http.get("/admin/usage", params={"key": "counted", "by": "key"}).json()["data"]
        none = http.get("/admin/usage", params={"until": "2020-01-01"}).json()["data"]
        wrong = http.get("/admin/usage", params={"since": "yesterday"})
        number = http.get("/admin/usage", params={"since": "1234567890"})
        early = http.get("/admin/usage", params={"until": "0001-01-01"})

    today = datetime.now(UTC).date().isoformat()
    facts = {"cached": 0, "limited": 0, "key": "counted", "day": today}
    assert rows == [
        {**facts, "model": "llama", "requests": 1, "texts": 0, "tokens": 6, "errors": 0},
        {**facts, "model": "org/m", "requests": 2, "texts": 2, "tokens": tokens, "errors": 1},
    ]
    assert [(row["requests"], row["key"]) for row in total] == [(3, "counted")]
    assert not {"day", "model"} & set(total[0])
    assert none == []
    assert early.json()["data"] == []
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "since"
    assert number.status_code == 400


def test_each_key_may_have_a_cache_of_its_own(tmp_path: Path) -> None:
    cache = {"type": "memory", "isolate": True}
    with team(tmp_path, {"one": {}, "two": {}}, cache=cache) as one:
        keys = list(one.secrets.values())

        def cached(secret: str) -> str:
            body = {"model": "m", "input": "the same text"}
            with one.http(secret) as http:
                return http.post("/v1/embeddings", json=body).headers["x-embedway-cache"]

        one.wait(lambda: cached(keys[0]) == "hit")
        assert cached(keys[1]) == "miss"
        one.wait(lambda: cached(keys[1]) == "hit")
        assert cached(keys[0]) == "hit"
