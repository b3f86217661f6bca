"""A real Chromium for tests of pages: what it asked the network for, what it complained of.

One browser for each test process; a fresh context for each page. Debian's chromium is driven by
Playwright, so no browser is downloaded.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE = 120_000  # milliseconds for a start, a page or a selector, where a machine is busy


@dataclass
class Visit:
    """A page that was opened, and all that it did."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """Every URL that was asked for, the page's own first."""
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, and what a content security policy refused."""

    def flaws(self) -> list[str]:
        """What axe-core finds wrong for keyboards and screen readers, at the present state."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]})["violations"]
        return [
            f"{v['id']} ({v['impact']}): {node['html'][:120]}" for v in found for node in v["nodes"]
        ]

    def overflows(self) -> bool:
        """Is the page wider than its window, so that it scrolls sideways?"""
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Browser,
    url: str,
    size: tuple[int, int] = DESKTOP,
    colours: Literal["light", "dark"] = "light",
    **context: Any,
) -> Iterator[Visit]:
    """Open a URL (file:// too) and wait until it has loaded."""
    width, height = size
    opened = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=colours, **context
    )
    opened.set_default_timeout(PATIENCE)
    page = opened.new_page()
    found = Visit(page)
    page.on(
        "request", lambda r: None if r.url.startswith("data:") else found.requests.append(r.url)
    )
    page.on("console", lambda m: found.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.goto(url)
    yield found
    opened.close()
