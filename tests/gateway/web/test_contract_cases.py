"""
What the gateway says of itself holds: schemathesis makes requests from its OpenAPI document, right
and wrong ones, and compares every answer with it. `EMBEDWAY_CASES` is how many for each route.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from doubles.team import Team, team

# Of the busy routes; the full run that docs/hardening.md tells of has 400.
CASES = int(os.environ.get("EMBEDWAY_CASES", "15"))
# What the stand-ins behind the routes can do.
ABLE = {
    "/v1/embeddings": ["m", "org/m", "other"],
    "/embed": ["m", "other", "org/m"],
    "/v1/rerank": ["ranker"],
    "/v2/rerank": ["ranker"],
    "/rerank": ["ranker", None],
    "/v1/chat/completions": ["llama"],
    "/v1/completions": ["llama"],
}

ROUTES = [f"POST {path}" for path in ABLE]
ROUTES += ["GET /v1/models", "GET /v1/models/{name}", "GET /admin/usage", "GET /console/state"]
ROUTES += ["GET /healthz", "GET /readyz", "GET /metrics"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team(tmp_path_factory.mktemp("cases")) as one:
        yield one


@pytest.fixture(scope="module")
def document(site: Team) -> BaseSchema:
    """As it is served, with the models that are there: no document can know their names."""
    read = httpx.get(f"{site.url}/openapi.json").json()
    for path, names in ABLE.items():
        post = read["paths"][path]["post"]
        body = post["requestBody"]["content"]["application/json"]["schema"]
        body["properties"]["model"] = {"enum": names}
        if None not in names:
            body["required"] = sorted({*body["required"], "model"})
        if "dimensions" in body["properties"]:
            body["properties"]["dimensions"] = {"enum": [8, None]}
        if "top_n" in body["properties"]:
            # To JSON Schema 2.0 is an integer; here it is refused.
            body["properties"]["top_n"] = {"enum": [1, 2, 1000, 2**63, None]}
        if "prompt_name" in body["properties"]:
            # What must not contradict another field cannot be said.
            body["properties"]["prompt_name"] = {"enum": [None]}
    [name] = read["paths"]["/v1/models/{name}"]["get"]["parameters"]
    name["schema"] = {"enum": ["m", "org/m", "llama"]}
    schema = schemathesis.openapi.from_dict(read)
    schema.config.update(base_url=site.url)
    return schema


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_that_the_document_promises(
    document: BaseSchema, site: Team, route: str, mode: GenerationMode
) -> None:
    method, path = route.split()
    operation = document[path][method]
    # What is in a chat its upstream judges, and the stand-in takes everything.
    unasked = [negative_data_rejection] if path.endswith("completions") else []
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=CASES if "{" in path or method == "POST" else max(1, CASES // 4),
        deadline=None,
        derandomize="EMBEDWAY_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=strategy)
    def ask(case: Case) -> None:
        bearer = {"authorization": f"Bearer {site.admin}"}
        case.call_and_validate(headers=bearer, excluded_checks=unasked)

    with contextlib.suppress(Unsatisfiable):
        # What takes nothing cannot be asked wrongly.
        ask()


def test_the_document_names_every_route(site: Team) -> None:
    read: dict[str, Any] = httpx.get(f"{site.url}/openapi.json").json()

    described = {
        f"{method.upper()} {path}" for path, methods in read["paths"].items() for method in methods
    }
    assert set(ROUTES) == described
    assert read == httpx.get(f"{site.url}/openapi.json").json(), "as often as it is asked for"
