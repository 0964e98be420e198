"""The site builds without a warning, and needs no other server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ABOVE = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
# Attributes that make a browser fetch something; `href` of a link does not.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page fetches, and the drawings in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.labels: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if value := named.get(FETCHED.get(tag, "")):
            self.fetched.append(value)
        if tag == "svg" and named.get("class") == "diagram":
            self.labels.append(named.get("aria-label") or "")


def build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)],
        cwd=source,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> dict[str, Page]:
    return {
        path.relative_to(site).as_posix(): Page(path.read_text("utf-8"))
        for path in site.rglob("*.html")
    }


def test_links_that_lead_nowhere_stop_the_build(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", *ABOVE):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    with (tmp_path / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n[one](#nowhere) [two](quickstart.md#nowhere) [three](nobody.md)\n")
        page.write("\n![four](diagrams/none.svg)\n")
    done = build(tmp_path, tmp_path / "site")

    assert done.returncode != 0
    assert (done.stdout + done.stderr).count("WARNING") == 4


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    sources = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    built = set(pages(site))
    listed = re.findall(
        r"^ {6}- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )

    assert {name.removesuffix(".md") + ".html" for name in [*sources, *ABOVE]} <= built
    assert sorted(listed) == sorted([*sources, *ABOVE])


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for name, page in pages(site).items():
        assert [url for url in page.fetched if urlsplit(url).netloc] == [], name
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")

        assert re.findall(r"url\(['\"]?(?:https?:)?//", text) == [], style.name
        assert "@import" not in text, style.name


def test_what_a_page_fetches_is_there(site: Path) -> None:
    for name, page in pages(site).items():
        here = site / name
        if name == "404.html":  # it is served for any address, and so has absolute ones
            continue
        gone = [url for url in page.fetched if not (here.parent / urlsplit(url).path).exists()]

        assert gone == [], name


def test_diagrams_stand_in_the_pages_with_words_for_them(site: Path) -> None:
    labels = [label for page in pages(site).values() for label in page.labels]

    assert len(labels) >= 6
    assert min(map(len, labels)) > 30


def test_the_search_knows_every_page(site: Path) -> None:
    found = (site / "search" / "search_index.json").read_text("utf-8")

    assert [path.stem for path in DOCS.rglob("*.md") if f"{path.stem}.html" not in found] == []


def test_links_to_elsewhere_are_whole_addresses() -> None:
    """They are not called: there may be no network."""
    sources = [*DOCS.rglob("*.md"), *(ROOT / name for name in (*ABOVE, "README.md"))]
    links = [
        link
        for path in sources
        for link in re.findall(r"\]\((\w+:[^)\s]+)\)", path.read_text("utf-8"))
    ]
    bad = []
    for link in links:
        parts = urlsplit(link)
        if parts.scheme != "https" or not re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", parts.netloc):
            bad.append(link)

    assert bad == []
    assert links


def test_the_site_names_no_repository() -> None:
    # Its tags for Python objects are MkDocs' own.
    class Loose(yaml.SafeLoader):
        pass

    Loose.add_multi_constructor("", lambda *_: None)
    # Nothing is made of what the file says.
    settings = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loose)

    assert not {"site_url", "repo_url", "edit_uri"} & settings.keys()
    assert settings["theme"]["font"] is False
