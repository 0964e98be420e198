"""A real headless Chromium, and what it says of accessibility."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

FAR = "gateway.test"
"""A name of this machine that does not look like one."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """
    The system's. While it runs no event loop can be started in this thread, so that its tests
    stand in files without asynchronous ones.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise AssertionError("these tests need a real browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[f"--host-resolver-rules=MAP {FAR} 127.0.0.1"]
        )
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Page) -> list[str]:
    """Of WCAG 2.2 AA and of axe's best practices, and where."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
