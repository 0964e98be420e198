"""A file that is looked at again and again: when it counts as changed, and what is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from embedway_gateway.config.load import load_config
from embedway_gateway.config.schema import Config
from embedway_gateway.config.watch import News, Watch


def text(dimensions: int, more: str = "") -> str:
    upstream = "{name: up, engine: openai, url: 'https://example.test'}"
    return f"models: [{{name: m, dimensions: {dimensions}, upstreams: [{upstream}]}}]\n{more}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "embedway.yaml"
    path.write_text(text(1))
    return path


@pytest.fixture
def watch(path: Path) -> Watch:
    watch = Watch(path, lambda: load_config(path))
    watch.first()
    return watch


def dimensions(news: News | None) -> int | None:
    assert news is not None
    assert news.config is not None
    return news.config.models[0].dimensions


def test_nothing_is_new_while_nothing_changes(watch: Watch) -> None:
    assert [watch.look() for _ in range(3)] == [None] * 3


def test_a_change_counts_when_it_is_the_same_in_two_looks(watch: Watch, path: Path) -> None:
    path.write_text(text(2)[:30])
    assert watch.look() is None, "half written"
    path.write_text(text(2))
    assert watch.look() is None
    assert dimensions(watch.look()) == 2
    assert watch.look() is None


def test_whoever_asks_gets_it_at_once_changed_or_not(watch: Watch, path: Path) -> None:
    assert dimensions(watch.look(asked=True)) == 1
    path.write_text(text(2))
    assert dimensions(watch.look(asked=True)) == 2
    assert watch.look() is None


def test_a_change_between_the_first_reading_and_the_first_look_is_noticed(path: Path) -> None:
    def read() -> Config:
        config = load_config(path)
        path.write_text(text(2))
        return config

    watch = Watch(path, read)
    assert watch.first().models[0].dimensions == 1
    watch.look()
    assert dimensions(watch.look()) == 2


def test_what_kubernetes_does_with_a_mounted_map_is_a_change(tmp_path: Path) -> None:
    for name, size in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "embedway.yaml").write_text(text(size))
    (tmp_path / "data").symlink_to("one")
    path = tmp_path / "embedway.yaml"
    path.symlink_to("data/embedway.yaml")
    watch = Watch(path, lambda: load_config(path))
    watch.first()

    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(tmp_path / "data")

    watch.look()
    assert dimensions(watch.look()) == 2


def test_a_mistake_is_told_once_for_each_content(
    watch: Watch, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("models: [{name: m}]")
    looks = [watch.look() for _ in range(5)]
    path.write_text("models: 3")
    looks += [watch.look() for _ in range(5)]

    assert [news for news in looks if news] == [News(None), News(None)]
    assert ["models[0].upstreams: is missing" in line for line in caplog.messages] == [True, False]
    assert all("the old one stays" in line for line in caplog.messages)


def test_a_file_that_is_gone_is_a_mistake_and_its_return_is_none(watch: Watch, path: Path) -> None:
    path.unlink()
    assert [watch.look() for _ in range(3)] == [None, News(None), None]
    path.write_text(text(1))
    assert watch.look() is None
    assert dimensions(watch.look()) == 1


def test_what_no_worker_could_start_with_is_refused(path: Path) -> None:
    def check(config: Config) -> None:
        if config.models[0].dimensions == 2:
            raise OSError("no such key file")

    watch = Watch(path, lambda: load_config(path), check=check)
    watch.first()
    path.write_text(text(2))

    assert watch.look(asked=True) == News(None)


def test_what_needs_a_restart_is_said_and_the_rest_is_taken(
    watch: Watch, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "embedway.gateway")
    server = "server: {port: 1, grace: 1s, host: localhost, keys: other.yaml}"
    path.write_text(text(2, f"{server}\nlimits: {{type: redis, url: 'redis://x'}}"))

    assert dimensions(watch.look(asked=True)) == 2
    path.write_text(text(2, "server: {grace: 2s, open_models: true}"))
    watch.look(asked=True)

    assert len(caplog.messages) == 1
    changed = "server.keys, server.host, server.port, limits changed, which needs a restart"
    assert caplog.messages[0].startswith(changed)


def test_a_worker_that_is_made_anew_asks_for_the_keys_of_the_start(path: Path) -> None:
    """It inherits the socket: without keys that would be open to all who reach it."""
    path.write_text(text(1, "server: {host: 192.0.2.1, keys: keys.yaml}"))
    watch = Watch(path, lambda: load_config(path))
    first = watch.first()
    path.write_text(text(2, "server: {open_metrics: true}\nusage: {type: none}"))
    news = watch.look(asked=True)

    assert dimensions(news) == 2
    assert news is not None
    assert news.config is not None
    server = news.config.server
    assert (server.keys, server.host) == (Path("keys.yaml"), "192.0.2.1")
    assert (news.config.usage, news.config.limits) == (first.usage, first.limits)
    # What needs no restart is new.
    assert server.open_metrics
