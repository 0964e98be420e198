"""The page in a real browser: what is on screen is what the gateway says, for everybody."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from doubles.browser import FAR, running_browser, violations
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

HOSTILE = """<img src=x onerror=alert(1)> o'reilly "$(id)" `id` \\"""
TEXTS = ["Where does the river end?", "The river ends here.", "<b>Bread</b> rises."]


class World:
    """A gateway that asks for keys, at `url`; `fragile` is what one of its models calls."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keys(folder)
        self.admin = self.keys.make("ops", admin=True)
        self.narrow = self.keys.make("narrow", "m")
        self.passing = self.keys.make("passing")
        self.fragile = OpenAIUpstream()
        self.url = ""
        self.config: Config

    def http(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.admin}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    def asked(self, path: str) -> Any:
        with self.http() as http:
            return http.get(path).json()

    def cosines(self, model: str) -> np.ndarray:
        with self.http() as http:
            body = {"model": model, "input": TEXTS}
            data = http.post("/v1/embeddings", json=body).json()["data"]
        rows = np.array([one["embedding"] for one in data])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows @ rows.T


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(tmp_path_factory.mktemp("world"))
    with (
        served(OpenAIUpstream(length=2.5)) as good,
        served(OpenAIUpstream(salt="another model: ")) as stray,
        served(one.fragile) as fragile,
        served(RerankUpstream(tei=True)) as ranker,
    ):

        def upstream(name: str, url: str, engine: str = "openai") -> dict[str, Any]:
            return {"name": name, "engine": engine, "url": url}

        models = [
            {
                "name": "org/m",
                "aliases": ["m"],
                "dimensions": 8,
                "upstreams": [upstream("good", good), upstream("stray", stray)],
            },
            {"name": HOSTILE, "dimensions": 8, "upstreams": [upstream("other", stray)]},
            {"name": "fragile", "dimensions": 8, "upstreams": [upstream("frail", fragile)]},
            {
                "name": "ranker",
                "capabilities": ["rerank"],
                "upstreams": [upstream("tei", ranker, "tei")],
            },
        ]
        cache = {"type": "memory", "max_bytes": 1_000_000}
        one.config = Config.model_validate({"cache": cache, "models": models})
        with served(create_app(one.keys.guard(one.config))) as one.url, one.http() as http:
            until(lambda: "org/m" in http.get("/readyz").json()["quarantined"])
            yield one


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all: nothing is stored, and that is tested."""
    with browser.new_context() as one:
        one.set_default_timeout(20_000)
        yield one


@pytest.fixture
def page(world: World, context: BrowserContext) -> Iterator[Page]:
    """Which fails the test that makes it report an error, or break its own policy."""
    opened = context.new_page()
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    # Chromium itself reports every refusal, which is what some tests want.
    opened.on(
        "console",
        lambda line: None if "Failed to load" in line.text else said.append(line.text),
    )
    opened.goto(world.url)
    yield opened
    opened.close()
    assert said == []


@pytest.fixture
def admitted(page: Page, world: World) -> Page:
    enter(page, world.admin)
    return page


def enter(page: Page, secret: str) -> None:
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Use").click()
    expect(page.get_by_role("button", name="Forget the key")).to_be_focused()


def compare(page: Page, *, beside: str = "") -> None:
    page.get_by_label("Texts, one a line").fill("\n".join(TEXTS))
    page.get_by_label("Beside it").select_option(beside)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#embed-status")).to_contain_text("Compared 3 texts")


def rows(table: Locator) -> list[list[str]]:
    found: list[list[str]] = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return found


def shown(page: Page, model: str) -> np.ndarray:
    """The numbers of a heat map, as they are told when one points at them, and as one sees them."""
    table = page.get_by_role("region", name=f"Cosines by {model}").locator("table")
    told = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(c => c.title))"
    )
    whole = np.array([[float(cell.rpartition(" ")[2]) for cell in row] for row in told])
    seen = np.array([[float(cell) for cell in row[1:]] for row in rows(table)])
    np.testing.assert_allclose(seen, whole, atol=0.00051)
    return whole


def test_a_key_is_asked_for_and_a_wrong_one_told(page: Page, world: World) -> None:
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This gateway asks for an API key.")
    expect(alert).to_contain_text("embedway keys create --name NAME")
    expect(page.get_by_role("heading", name="Similarity")).to_be_hidden()

    page.get_by_label("API key").fill("ew-nonsense")
    page.get_by_role("button", name="Use").click()

    expect(alert).to_contain_text("Incorrect API key provided")
    expect(page.get_by_label("API key")).to_be_focused()
    enter(page, world.admin)
    expect(alert).to_be_empty()
    expect(page.get_by_role("article")).to_have_count(4)


def test_the_key_is_in_memory_only(admitted: Page, world: World) -> None:
    sent: list[dict[str, str]] = []
    addresses: list[str] = []
    admitted.on("request", lambda one: (sent.append(one.headers), addresses.append(one.url)))
    admitted.get_by_role("button", name="Refresh now").click()
    compare(admitted)

    kept = admitted.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, "
        "location.href, history.state, document.documentElement.outerHTML, "
        "[...document.querySelectorAll('input')].map(one => one.value)])"
    )
    assert world.admin not in kept + "".join(addresses)
    assert {one.get("authorization") for one in sent} == {f"Bearer {world.admin}"}
    assert admitted.context.cookies() == []
    admitted.get_by_role("button", name="Forget the key").click()
    expect(admitted.get_by_role("alert")).to_contain_text("asks for an API key")
    expect(admitted.get_by_role("article")).to_have_count(0)
    expect(admitted.get_by_role("region", name="Cosines by org/m")).to_have_count(0)


def test_a_key_that_is_revoked_ends_the_visit(page: Page, world: World) -> None:
    enter(page, world.passing)
    world.keys.revoke("passing")

    def over() -> bool:
        page.get_by_role("button", name="Refresh now").click()
        return page.get_by_role("article").count() == 0

    until(over)
    expect(page.get_by_role("alert")).to_contain_text("revoked")
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_list_that_is_open_is_shown_without_a_key(page: Page, world: World) -> None:
    config = world.keys.guard(world.config, open_models=True)
    with served(create_app(config)) as url:
        page.goto(url)
        expect(page.get_by_role("alert")).to_contain_text("asks for an API key")
        expect(page.get_by_role("article")).to_have_count(4)
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("alert")).to_contain_text("asks for an API key")
        expect(page.get_by_role("article")).to_have_count(4)
        expect(page.get_by_role("heading", name="Usage")).to_be_hidden()
        enter(page, world.admin)
        expect(page.get_by_role("heading", name="Usage")).to_be_visible()
        # Before its server is gone.
        page.goto("about:blank")


def test_models_and_upstreams_are_those_of_the_gateway(admitted: Page, world: World) -> None:
    listed = world.asked("/v1/models")["data"]
    names = admitted.get_by_role("article").get_by_role("heading").all_inner_texts()
    assert names == [model["id"] for model in listed]
    for model, state in zip(listed, world.asked("/console/state")["models"], strict=True):
        card = admitted.get_by_role("article", name=model["id"])
        expect(card).to_contain_text("ready")
        if model["vector_space"] and model["dimensions"]:
            expect(card).to_contain_text(model["vector_space"])
        for cells, upstream in zip(rows(card.locator("table")), state["upstreams"], strict=True):
            assert [cells[0], cells[2], cells[3]] == [
                upstream["name"],
                upstream["breaker"],
                upstream["engine"],
            ]


def test_numbers_follow_the_traffic(admitted: Page, world: World) -> None:
    with world.http() as http:
        for number in range(3):
            http.post("/v1/embeddings", json={"model": "m", "input": [f"follow {number}", "same"]})
    admitted.get_by_role("button", name="Refresh now").click()
    state = world.asked("/console/state")["models"][0]
    card = admitted.get_by_role("article", name="org/m")
    facts = card.locator("dl div")

    def fact(name: str) -> Locator:
        return facts.filter(has=admitted.get_by_text(name, exact=True)).locator("dd")

    expect(fact("requests")).to_have_text(str(int(sum(state["requests"].values()))))
    expect(fact("texts/s")).not_to_have_text("–")
    expect(fact("latency")).to_have_text(re.compile(r"\d (ms|s)$"))
    hits, misses = state["cache"]["hits"], state["cache"]["misses"]
    expect(fact("texts from the cache")).to_have_text(f"{100 * hits / (hits + misses):.0f} %")


def test_a_quarantined_upstream_says_why(admitted: Page, world: World) -> None:
    reason = world.asked("/readyz")["quarantined"]["org/m"]["stray"]
    row = admitted.get_by_role("article", name="org/m").get_by_role("row", name="stray")
    expect(row).to_contain_text("quarantined")
    expect(row).to_contain_text(reason)


def test_an_upstream_that_fails_is_told_aloud_and_the_focus_stays(
    admitted: Page, world: World
) -> None:
    region = admitted.get_by_role("region", name="Upstreams of fragile")
    admitted.clock.install()
    admitted.get_by_role("button", name="Refresh now").click()
    region.focus()
    world.fragile.faults.extend([500] * 60)
    with world.http() as http:

        def fails() -> bool:
            http.post("/v1/embeddings", json={"model": "fragile", "input": "x"})
            return not http.get("/console/state").json()["models"][2]["ready"]

        until(fails)
    # By itself, after five seconds.
    admitted.clock.run_for(5_000)
    expect(admitted.get_by_text("fragile is no longer ready.")).to_be_attached()
    problem = world.asked("/console/state")["models"][2]["upstreams"][0]["problem"]
    expect(region).to_contain_text("not serving")
    expect(region).to_contain_text(problem.partition(":")[0])
    expect(region).to_be_focused()
    world.fragile.faults.clear()


def test_the_heat_map_is_of_the_vectors(admitted: Page, world: World) -> None:
    compare(admitted)
    np.testing.assert_allclose(shown(admitted, "org/m"), world.cosines("org/m"), atol=1e-5)
    table = admitted.get_by_role("region", name="Cosines by org/m").locator("table")
    assert [row[0] for row in rows(table)] == [f"{i} {text}" for i, text in enumerate(TEXTS, 1)]


def test_two_models_are_shown_beside_each_other_and_never_mixed(
    admitted: Page, world: World
) -> None:
    compare(admitted, beside=HOSTILE)
    expect(admitted.locator("#embed-result figure")).to_have_count(2)
    for model in ("org/m", HOSTILE):
        np.testing.assert_allclose(shown(admitted, model), world.cosines(model), atol=1e-5)
    expect(admitted.locator("#embed-status")).to_contain_text("not comparable")


def test_reranking_is_in_the_gateways_order(admitted: Page, world: World) -> None:
    documents = admitted.get_by_label("Documents, one a line").input_value().split("\n")
    admitted.get_by_role("button", name="Rerank").click()
    table = admitted.get_by_role("region", name="Relevance by ranker").locator("table")
    expect(table).to_be_visible()
    with world.http() as http:
        body = {"query": "Where does the Danube end?", "documents": documents, "model": "ranker"}
        results = http.post("/v1/rerank", json=body).json()["results"]

    assert [(int(row[3]) - 1, row[2]) for row in rows(table)] == [
        (one["index"], documents[one["index"]]) for one in results
    ]
    assert [float(row[1]) for row in rows(table)] == pytest.approx(
        [one["relevance_score"] for one in results], rel=1e-3
    )


def test_what_is_wrong_is_told_at_the_form(admitted: Page) -> None:
    admitted.get_by_label("Texts, one a line").fill("only one")
    admitted.get_by_role("button", name="Compare").click()
    expect(admitted.locator("#embed-status")).to_have_text(
        "Give from 2 to 40 texts, one a line; there are 1."
    )


@pytest.mark.parametrize("model", ["org/m", HOSTILE])
def test_snippets_run_as_they_are(
    admitted: Page, world: World, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDWAY_API_KEY", world.admin)
    admitted.locator("#snippet-model").select_option(model)
    names = admitted.locator("#snippet-list h3").all_inner_texts()
    assert names == ["curl", "openai", "LangChain", "LlamaIndex"]
    for name in names:
        text = admitted.get_by_role("region", name=name, exact=True).inner_text()
        assert world.admin not in text
        if name == "curl":
            done = subprocess.run(
                ["sh", "-c", text], capture_output=True, text=True, timeout=60, check=True
            )
            assert shlex.split(text)[0] == "curl"
            assert '"embedding":[' in done.stdout
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(text, {})
        assert out.getvalue().strip() == "8"


def test_over_plain_http_the_snippets_say_what_they_do_to_the_key(
    page: Page, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDWAY_API_KEY", world.admin)
    page.goto(world.url.replace("127.0.0.1", FAR))
    enter(page, world.admin)
    page.locator("#snippet-model").select_option("org/m")
    expect(page.locator("#snippet-note")).to_contain_text("prefer https")
    for name in ("LangChain", "LlamaIndex"):
        text = page.get_by_role("region", name=name, exact=True).inner_text()
        made, _, _ = text.partition("\nprint(")
        assert FAR in made
        # Made, but not asked: only the browser knows that name.
        exec(made, {})


def test_a_snippet_is_copied_whole(admitted: Page, world: World) -> None:
    admitted.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=world.url)
    admitted.get_by_role("button", name="Copy curl").click()
    expect(admitted.locator("#copied")).to_have_text("curl: copied.")
    copied = admitted.evaluate("() => navigator.clipboard.readText()")
    assert copied == admitted.get_by_role("region", name="curl", exact=True).inner_text()


def test_usage_is_what_the_gateway_has_counted(admitted: Page, world: World) -> None:
    admitted.get_by_label("Of the last").select_option("30")
    admitted.get_by_role("button", name="Show").click()
    table = admitted.locator("#usage-result table")
    expect(table.locator("caption")).to_contain_text("by key and model")
    data = world.asked("/admin/usage?by=key&by=model")["data"]
    assert data
    counts = ("requests", "texts", "tokens", "errors", "cached", "limited")
    assert rows(table) == [
        [one["key"], one["model"], *(f"{one[name]:,}" for name in counts)] for one in data
    ]


def test_other_keys_see_their_models_without_what_is_for_admins(page: Page, world: World) -> None:
    enter(page, world.narrow)
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("article", name="org/m")).to_contain_text("ready")
    expect(page.get_by_text("Usage is shown to keys with admin rights.")).to_be_visible()
    assert "stray" not in page.content()
    compare(page)
    expect(page.get_by_text("No model here reranks.")).to_be_visible()


def test_a_gateway_that_is_silent_is_told_and_what_was_known_stays(admitted: Page) -> None:
    admitted.route("**/console/state", lambda route: route.abort())
    admitted.get_by_role("button", name="Refresh now").click()
    expect(admitted.get_by_role("alert")).to_contain_text("does not answer")
    expect(admitted.get_by_text("no news since")).to_be_visible()
    expect(admitted.get_by_role("article")).to_have_count(4)
    admitted.unroute("**/console/state")
    admitted.get_by_role("button", name="Refresh now").click()
    expect(admitted.get_by_role("alert")).to_be_empty()


def test_what_names_say_is_text(admitted: Page) -> None:
    expect(admitted.get_by_role("heading", name=HOSTILE, exact=True)).to_be_visible()
    assert admitted.locator("main img").count() == 0
    compare(admitted)
    assert admitted.locator("main b").count() == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_nothing(page: Page, world: World, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    expect(page.get_by_role("alert")).to_contain_text("asks for")
    assert violations(page) == []
    enter(page, world.admin)
    page.get_by_role("button", name="Rerank").click()
    compare(page, beside=HOSTILE)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#rerank-result table")).to_be_visible()
    expect(page.locator("#usage-result table")).to_be_visible()
    assert violations(page) == []
    beyond = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter(one => !one.closest(".scroll, pre, .unseen, .skip"))
            .filter(one => one.getBoundingClientRect().right > innerWidth)
            .map(one => one.outerHTML)"""
    )
    assert beyond == []


def test_everything_is_reached_by_keyboard_alone(page: Page, world: World) -> None:
    expect(page.get_by_role("alert")).to_contain_text("asks for")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(world.admin)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Forget the key")).to_be_focused()
    expect(page.get_by_role("article")).to_have_count(4)
    met: list[str] = []
    while True:
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const one = document.activeElement, style = getComputedStyle(one);
                const name = one.ariaLabel || one.labels?.[0]?.innerText || one.innerText;
                return [name.split("\\n")[0], one === document.body || style.outlineStyle];
            }"""
        )
        if found[1] is True:
            break
        assert found[1] != "none", found
        met.append(found[0].strip())
        if met[-1] == "Compare":
            page.keyboard.press("Enter")
            expect(page.locator("#embed-result table")).to_be_visible()
            expect(page.get_by_role("button", name="Compare")).to_be_focused()
    order = ["Refresh every 5 s", "Refresh now", "Upstreams of org/m", "Compare"]
    order += ["Cosines by org/m", "Rerank", "Copy curl", "curl", "Show"]
    assert [name for name in met if name in order] == order
    assert page.evaluate("() => history.length") <= 2


def test_nothing_moves_for_those_who_asked_for_it(page: Page) -> None:
    def scrolling() -> Any:
        return page.evaluate("() => getComputedStyle(document.documentElement).scrollBehavior")

    assert scrolling() == "smooth"
    page.emulate_media(reduced_motion="reduce")
    assert scrolling() == "auto"
