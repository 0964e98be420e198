from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from doubles.aicore_api import AICoreAPI
from doubles.engine_infinity import Infinity
from doubles.engine_ovms import OVMS
from doubles.engine_server import EngineServer
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM
from doubles.oci_identity import KEY_ID, private_key, write_api_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from embedway_gateway.config.schema import Config
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.leaf import Leaf
from embedway_gateway.survey import Finding, examine, survey
from embedway_upstream.testing import FakeEmbedder

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"


@pytest.fixture
def serve() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


def config(*upstreams: dict[str, Any], **model: Any) -> Config:
    named = [{"name": f"up{n}", "engine": "tei", **one} for n, one in enumerate(upstreams)]
    if model.get("capabilities", ["embed"])[0] == "embed":
        model.setdefault("dimensions", 8)
    one = {"name": "model", "upstreams": named, **model}
    logins = model.pop("credentials", {})
    one.pop("credentials", None)
    return Config.model_validate({"models": [one], "credentials": logins})


async def only(found: Config, **how: Any) -> Finding:
    [finding] = await survey(found, **how)
    return finding


async def test_what_tei_tells_is_found(serve: Any) -> None:
    finding = await only(config({"url": serve(TEI(auto_truncate=True))}))

    assert (finding.version, finding.capabilities) == ("1.9.3", ("embed",))
    assert (finding.max_inputs, finding.max_tokens, finding.truncates) == (32, 512, True)
    assert (finding.dimensions, finding.reachable) == (8, True)
    assert (finding.notes, finding.problem) == ((), "")


async def test_what_several_probes_tell_is_put_together(serve: Any) -> None:
    vllm = await only(config({"engine": "vllm", "url": serve(VLLM(max_model_len=99))}))
    ovms = await only(config({"engine": "ovms", "url": serve(OVMS())}))

    assert (vllm.version, vllm.models, vllm.max_tokens) == ("0.33.0", ("model",), 99)
    assert (ovms.version, ovms.models) == ("2026.3", ("model",))


@pytest.mark.parametrize(
    ("server", "model", "words"),
    [
        (TEI(max_input_length=256), {"max_tokens": 512}, "`max_tokens: 512`"),
        (TEI(auto_truncate=False), {}, "texts of more than 512 tokens are refused"),
        (TEI(max_client_batch_size=4), {}, "it takes 4 texts at once, and the gateway would try"),
    ],
)
async def test_what_contradicts_the_configuration_is_a_note(
    serve: Any, server: TEI, model: dict[str, Any], words: str
) -> None:
    finding = await only(config({"url": serve(server)}, **model))

    assert finding.problem == ""
    assert [words in note for note in finding.notes] == [True]


async def test_a_smaller_max_tokens_is_no_contradiction(serve: Any) -> None:
    assert (await only(config({"url": serve(TEI())}, max_tokens=128))).notes == ()


async def test_an_upstream_that_tells_nothing_serves_all_the_same(serve: Any) -> None:
    """Its stand-in fails on every GET."""
    finding = await only(config({"engine": "openai", "url": serve(OpenAIUpstream())}))

    assert (finding.version, finding.max_tokens, finding.problem) == (None, None, "")
    assert finding.reachable


async def test_each_upstream_reranks_for_itself(serve: Any) -> None:
    good, bad = serve(TEI(kind="reranker")), serve(TEI())
    first, second = await survey(config({"url": good}, {"url": bad}, capabilities=["rerank"]))

    assert (first.problem, first.milliseconds) == ("", None)
    assert first.rerank_milliseconds
    assert "Its model can embed, not rerank" in second.problem


async def test_a_model_with_two_tasks_is_asked_for_both(serve: Any) -> None:
    both = OVMS()
    finding = await only(
        config({"engine": "ovms", "url": serve(both)}, capabilities=["embed", "rerank"])
    )
    lacking = await only(config({"url": serve(TEI())}, capabilities=["embed", "rerank"]))

    assert finding.problem == ""
    assert finding.milliseconds
    assert finding.rerank_milliseconds
    assert lacking.problem.startswith("to rerank: the upstream's model cannot do this")
    assert lacking.dimensions == 8


async def test_the_order_is_the_configurations_and_the_first_is_the_reference(serve: Any) -> None:
    upstreams = [
        {"url": serve(TEI(model="other")), "priority": 1},
        {"url": serve(TEI())},
        {"url": serve(TEI()), "priority": 1},
    ]
    one, two, three = await survey(config(*upstreams))

    assert [one.upstream, two.upstream, three.upstream] == ["up0", "up1", "up2"]
    assert two.cosine is None
    assert (three.cosine, three.problem) == (pytest.approx(1), "")
    assert one.problem.startswith("another vector space than that of 'up1': cosine")


async def test_without_the_reference_nothing_is_compared(serve: Any) -> None:
    upstreams = [{"url": f"http://127.0.0.1:{free_port()}"}, {"url": serve(TEI())}]
    gone, there = await survey(config(*upstreams, reference="up0"))

    assert gone.reachable is False
    assert "does not answer; not compared" in there.problem
    [_, there] = await survey(config(*upstreams))
    assert there.problem == "", "nobody stated who defines the space"


async def test_dead_upstreams_wait_together_and_no_longer_than_they_may(serve: Any) -> None:
    servers = [OpenAIUpstream(delay=20.0) for _ in range(6)]
    upstreams = [{"engine": "openai", "url": serve(one)} for one in servers]
    seen: list[tuple[int, int]] = []
    started = time.perf_counter()

    findings = await survey(
        config(*upstreams), seconds=0.4, watch=lambda done, of: seen.append((done, of))
    )

    assert time.perf_counter() - started < 2
    assert {one.reachable for one in findings} == {True}, "a GET is answered, if with an error"
    assert all("Nothing came for 0.4 s" in one.problem for one in findings)
    assert seen == [(done, 6) for done in range(7)]


CHAT = ["chat"]


async def test_a_model_that_only_chats_is_asked_nothing_that_costs(serve: Any) -> None:
    server = VLLM(task="generate")
    finding = await only(config({"engine": "vllm", "url": serve(server)}, capabilities=CHAT))

    assert (finding.reachable, finding.version, finding.problem) == (True, "0.33.0", "")
    assert {asked.method for asked in server.seen} == {"GET"}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (None, "nothing listens there"),
        (VLLM(model="odsc-llm"), "it does not serve 'model' but 'odsc-llm'"),
        (VLLM(key="planted"), "wants an API key; add `credentials:`"),
    ],
)
async def test_a_model_that_only_chats_may_be_misconfigured(
    serve: Any, server: EngineServer | None, words: str
) -> None:
    url = serve(server) if server else f"http://127.0.0.1:{free_port()}"
    finding = await only(config({"engine": "vllm", "url": url}, capabilities=CHAT))

    assert words in finding.problem


def oci(serve: Any, folder: Path, inner: Any, **more: Any) -> Config:
    platform = OCIPlatform(inner, {KEY_ID: private_key().public_key()})
    one = {"platform": "oci", "credentials": "key", "url": f"{serve(platform)}/{OCID}", **more}
    login = {"type": "oci", "config_file": str(write_api_key(folder))}
    capabilities = more.pop("capabilities", ["embed"])
    one.pop("capabilities", None)
    return config(one, credentials={"key": login}, capabilities=capabilities)


async def test_on_oci_only_the_suffix_style_carries_questions(serve: Any, tmp_path: Path) -> None:
    server = VLLM()
    by_suffix = await only(oci(serve, tmp_path, server, engine="vllm", invoke="suffix"))
    asked = {one.path for one in server.seen if one.method == "GET"}
    server.seen.clear()
    by_route = await only(oci(serve, tmp_path, server, engine="vllm", invoke="route"))

    assert by_suffix.models == ("model",)
    assert "/v1/models" in asked
    assert (by_route.models, by_route.problem) == ((), "")
    assert {one.method for one in server.seen} == {"POST"}


async def test_what_cannot_be_asked_for_nothing_is_not_known(serve: Any, tmp_path: Path) -> None:
    made = oci(serve, tmp_path, VLLM(), engine="vllm", capabilities=CHAT)
    finding = await only(made)

    assert (finding.reachable, finding.problem) == (None, "")
    assert "whether it answers is not known" in finding.notes[0]


async def test_an_answer_that_says_too_late_is_an_answer(serve: Any, tmp_path: Path) -> None:
    finding = await only(oci(serve, tmp_path, OpenAIUpstream(faults=deque([504] * 9))))

    assert finding.reachable
    assert "took too long" in finding.problem


async def test_ai_core_carries_questions(serve: Any) -> None:
    api = AICoreAPI(engine=Infinity(prefix="/v1"))  # type: ignore[arg-type]
    url = serve(api)
    api.add(1, url, name="c", model="m")
    login = {"type": "oauth2", "token_url": f"{url}/oauth/token", "client_id": "client"}
    login["client_secret"] = api.client_secret
    one = {"engine": "infinity", "platform": "aicore", "credentials": "sap"}
    one["url"] = f"{url}/v2/inference/deployments/d1"

    finding = await only(config(one, credentials={"sap": login}))

    assert (finding.capabilities, finding.problem) == (("embed",), "")


async def test_an_upstream_without_an_address_is_called_and_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaf = Leaf(FakeEmbedder(dimensions=8), Capacity())
    monkeypatch.setattr(examine, "embedding_leaf", lambda *_: leaf)

    finding = await only(config({"url": "http://127.0.0.1:9"}))

    assert (finding.dimensions, finding.reachable, finding.problem) == (8, True, "")


async def test_the_local_runtime_tells_of_itself(model_in_store: str) -> None:
    made = config({"engine": "local"}, name=model_in_store, dimensions=384)
    finding = await only(made)

    assert (finding.max_tokens, finding.truncates, finding.dimensions) == (256, True, 384)
    assert (finding.reachable, finding.problem) == (True, "")


async def test_a_local_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finding = await only(config({"engine": "local"}, name="org/nothing", dimensions=8))

    assert finding.problem.startswith("the local model could not be loaded (")
