"""What the site does that plain files need not: pages from above `docs/`, diagrams inline."""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Of the repository's top, and pages of the site nevertheless.
ABOVE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_DIAGRAM = re.compile(r'<img alt="([^"]*)" src="[^"]*?diagrams/([\w-]+)\.svg" ?/?>')
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages from above."""
    for name in ABOVE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """
    Links between `docs/` and what is above it.

    The repository has no address of its own here, so a link to a file that is no page becomes that
    file's name.
    """
    source = page.file.src_uri
    at = source if source in ABOVE else f"docs/{source}"

    def led(match: re.Match[str]) -> str:
        bang, text, target, anchor = match.groups()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
        uri = place if place in ABOVE else place.removeprefix("docs/")
        if uri not in files.src_uris or (uri == place and place not in ABOVE):
            return match[0] if place.startswith("docs/") else _named(text, place)
        relative = posixpath.relpath(uri, posixpath.dirname(source) or ".")
        return f"{bang}[{text}]({relative}{anchor or ''})"

    # Blocks are left as they are: what they hold is no Markdown.
    parts = zip([*_FENCE.split(markdown)], [*_FENCE.findall(markdown), ""], strict=True)
    return "".join(_LINK.sub(led, prose) + block for prose, block in parts)


def _named(text: str, place: str) -> str:
    return f"{text} (`{place}`)" if text.strip("`") not in place else f"`{place}`"


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Diagrams become part of the page: their text can be selected, and follows the palette."""

    def inline(match: re.Match[str]) -> str:
        path = ROOT / "docs" / "diagrams" / f"{match[2]}.svg"
        if not path.exists():  # which MkDocs has told
            return match[0]
        svg = path.read_text("utf-8")
        assert html.unescape(match[1]), f"{page.file.src_uri}: a diagram without words for it"
        return svg.replace("<svg ", f'<svg aria-label="{match[1]}" ', 1)

    return _DIAGRAM.sub(inline, content)
