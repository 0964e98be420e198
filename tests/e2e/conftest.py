"""What end-to-end tests share: deployments of the guide's `score.py`, and a real infinity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles.infinity_process import InfinityProcess, running_infinity
from doubles.score_world import ScoreWorld, score_world
from embedway_local import Store, embedway_home


@pytest.fixture(scope="session")
def score_world_served(
    tmp_path_factory: pytest.TempPathFactory, model_in_store: str
) -> Iterator[ScoreWorld]:
    model = Store(embedway_home()).folder(model_in_store)
    with score_world(tmp_path_factory.mktemp("score"), model) as world:
        yield world


@pytest.fixture
def world(score_world_served: ScoreWorld) -> ScoreWorld:
    """As new."""
    score_world_served.reset()
    return score_world_served


@pytest.fixture(scope="session")
def infinity(
    tmp_path_factory: pytest.TempPathFactory, model_in_store: str
) -> Iterator[InfinityProcess]:
    """The first time on a machine, it is installed."""
    model = Store(embedway_home()).folder(model_in_store)
    with running_infinity(model, tmp_path_factory.mktemp("infinity")) as running:
        yield running
