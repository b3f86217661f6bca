"""The atlas in a real Chromium, from the file system and a server, with scripts and without."""

import dataclasses
import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from pipelines.atlas.site import write_site
from tests.atlas.values import Values
from tests.browser import DESKTOP, PHONE, visit

pytestmark = pytest.mark.browser
HOSTILE = "zebra<script>window.hit=1</script><img src=x onerror=window.hit=1>" + "a" * 99
HEAT = "getComputedStyle(document.querySelector('.heat')).opacity"


@pytest.fixture(scope="module")
def values() -> Values:
    return Values(seed=8, pairs=12, neurons=2, runs=2, pool=12)


@pytest.fixture(scope="module")
def site(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atlas")
    values.write_images(out)
    pairs = list(values.pairs())
    pairs[1] = dataclasses.replace(pairs[1], words=(HOSTILE, *pairs[1].words))
    write_site(str(out), values.about(), pairs, values.neurons())
    return out


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The same site from a web server of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def first_pair(values: Values) -> str:
    pair = values.chosen[0]
    return f"pairs/{pair // values.width}-{pair % values.width}.html"


@pytest.mark.parametrize("way", ["file", "server"])
def test_it_loads_only_its_own_files_and_search_leads_to_a_page(
    browser, site: Path, served: str, values: Values, way: str
) -> None:
    top = site.as_uri() if way == "file" else served
    page = next(p for i, p in enumerate(values.pairs()) if i == 5)
    with visit(browser, f"{top}/index.html") as seen:
        seen.page.keyboard.press("Tab")
        seen.page.focus("#query")
        seen.page.keyboard.type(page.words[0][:3])
        seen.page.wait_for_selector("#found a")
        assert re.match(r"\d+ pairs? and \d+ neurons? found", seen.page.inner_text("#said"))
        links = seen.page.eval_on_selector_all("#found a", "all => all.map(a => a.href)")
        name = f"pairs/{page.head}-{page.neuron}.html"
        at = links.index(f"{top}/{name}")
        for _ in range(at + 1):
            seen.page.keyboard.press("ArrowDown")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_url(f"**/{name}")
        assert seen.page.inner_text("h1") == ", ".join(page.words[:3])
        seen.page.go_back()
        seen.page.wait_for_selector("#found a")
        assert seen.complaints == []
        assert all(request.startswith(top) for request in seen.requests)
        sizes = seen.page.eval_on_selector_all(
            "#found img",
            "all => Promise.all(all.slice(0, 3).map(i => i.decode().then(() => i.naturalWidth)))",
        )
        assert min(sizes) > 0


def test_a_number_is_found_and_nothing_is_said_to_be_nothing(
    browser, site: Path, values: Values
) -> None:
    head, neuron = divmod(values.chosen[3], values.width)
    with visit(browser, f"{site.as_uri()}/index.html#q={head}-{neuron}") as seen:
        seen.page.wait_for_selector("#found a")
        assert seen.page.inner_text("#said") == "1 pair and 0 neurons found."
        seen.page.fill("#query", "  nothing at all ")
        assert "Nothing" in seen.page.inner_text("#said")
        seen.page.fill("#query", "")
        assert seen.page.inner_text("#found") == ""


def test_a_unit_is_found_by_whatever_is_printed_of_it(browser, site: Path, values: Values) -> None:
    page = next(p for i, p in enumerate(values.pairs()) if i == 5)
    own = f"pairs/{page.head}-{page.neuron}.html"
    words = ", ".join(page.words)
    numbers = (f"{page.head},{page.neuron}", f"head {page.head} · neuron {page.neuron}")
    several = (f"head {page.head}", f"Neuron {page.neuron}", f"{page.pair}")
    with visit(browser, f"{site.as_uri()}/index.html", PHONE) as seen:
        for asked in (words, f"“{words}”", *numbers, *several, f"pair {page.pair}"):
            seen.page.fill("#query", asked)
            seen.page.wait_for_selector(f"#found a[href='{own}']")
            top = seen.page.evaluate("document.querySelector('#found a').getBoundingClientRect().y")
            assert 0 <= top < PHONE[1]
            only = seen.page.inner_text("#said") == "1 pair and 0 neurons found."
            assert only or asked not in (*numbers, f"pair {page.pair}")
        seen.page.fill("#query", "yelow")
        seen.page.click("#said a")
        assert seen.page.input_value("#query") == "yellow"
        seen.page.wait_for_selector("#found a")


def test_hostile_words_stay_text(browser, site: Path) -> None:
    with visit(browser, f"{site.as_uri()}/index.html#q=zebra <scr", PHONE) as seen:
        seen.page.wait_for_selector("#found a")
        assert not seen.overflows()
        assert HOSTILE in seen.page.inner_text("#found")
        seen.page.click("#found a")
        seen.page.wait_for_url("**/pairs/**")
        assert HOSTILE in seen.page.inner_text("h1")
        assert not seen.overflows()
        assert seen.page.evaluate("window.hit") is None
        assert seen.complaints == []


def sound(browser, url: str, size: tuple[int, int], colours: Literal["light", "dark"]) -> None:
    """Nothing is wrong with a page for axe-core, and it fits the window."""
    with visit(browser, url, size, colours) as seen:
        if "#" in url:
            seen.page.wait_for_selector("#found a")
        assert seen.flaws() == []
        assert not seen.overflows()
        assert seen.complaints == []


def test_pages_serve_everybody_and_fit_the_window(browser, site: Path, values: Values) -> None:
    sound(browser, f"{site.as_uri()}/index.html#q=yel", PHONE, "light")
    sound(browser, f"{site.as_uri()}/{first_pair(values)}", PHONE, "dark")


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_all_kinds_of_pages_do(
    browser, site: Path, values: Values, size: tuple[int, int], colours: Literal["light", "dark"]
) -> None:
    neuron = f"neurons/{values.top_neurons[0]}.html"
    lists = ("lists/pairs-words.html", "lists/head-0.html", "topics/yellow.html", "about.html")
    for path in ("index.html", "index.html#q=e", first_pair(values), neuron, *lists):
        sound(browser, f"{site.as_uri()}/{path}", size, colours)


def test_the_fog_lifts_by_the_keyboard_and_stays_so(browser, site: Path, values: Values) -> None:
    with visit(browser, f"{site.as_uri()}/{first_pair(values)}") as seen:
        assert float(seen.page.evaluate(HEAT)) > 0.5
        seen.page.focus("#heat")
        seen.page.keyboard.press("Space")
        assert float(seen.page.evaluate(HEAT)) == 0
        seen.page.click("a[rel=next]")
        seen.page.wait_for_url(lambda url: not url.endswith(first_pair(values)))
        assert float(seen.page.evaluate(HEAT)) == 0


def test_labels_sort(browser, site: Path, values: Values) -> None:
    with visit(browser, f"{site.as_uri()}/{first_pair(values)}") as seen:
        seen.page.click(".labels thead th:nth-child(3) button")
        shown = seen.page.eval_on_selector_all(".labels td.r", "all => all.map(c => +c.dataset.v)")
        assert shown == sorted(shown, reverse=True)


def test_without_scripts_the_lists_are_there(browser, site: Path, values: Values) -> None:
    with visit(browser, f"{site.as_uri()}/index.html", java_script_enabled=False) as seen:
        assert seen.page.is_visible("text=The search needs JavaScript")
        assert not seen.page.is_visible("#query")
        seen.page.click("text=by importance")
        seen.page.click(f"a[href='../{first_pair(values)}']")
        seen.page.uncheck("#heat")
        assert seen.page.inner_text("h1") and seen.complaints == []
