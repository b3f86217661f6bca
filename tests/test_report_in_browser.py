"""The report in a real Chromium: it asks for nothing, sorts, filters, fits, serves everybody."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from pipelines.analyse.compare import ComparePlan, compare
from pipelines.pages.numbers import probability, signed
from pipelines.pages.study import Section, Study, render_study
from tests.browser import DESKTOP, PHONE, Visit, visit
from tests.synthetic_run import make_run

pytestmark = pytest.mark.browser

EVIL = "<script>window.ran = true</script>"
N = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs compared in `out`, one by year in `by`, and a study."""
    folder = tmp_path_factory.mktemp("report")
    texts, keys = {"yellow": f"yellow {EVIL}"}, [f"{EVIL}-{i}" for i in range(N)]
    one = make_run(folder / "a", N, seed=1, texts=texts, keys=keys, fit=True)
    other = make_run(folder / "b", N, 2, {"yellow": 5}, texts=texts, rejected=3, fit=True)
    compare(ComparePlan(str(folder / "out"), one, other))
    run = make_run(folder / "c", N, seed=3, bucket="year")
    compare(ComparePlan(str(folder / "by"), run=run, by="year"))
    table = pd.DataFrame({"name": [f"row {i} {EVIL}" for i in range(70)], "share": [0.1] * 70})
    study = Study("A finding", "Why", [Section("Numbers", "Text.", table)], {"model": EVIL})
    (folder / "study").mkdir()
    render_study(study, str(folder / "study" / "index.html"))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> str:
    return address(folder, "out")


def address(folder: Path, name: str) -> str:
    return (folder / name / "index.html").as_uri()


@pytest.fixture(scope="module")
def findings(folder: Path) -> list[dict]:
    return json.loads((folder / "out" / "findings.json").read_text())


def rows(seen: Visit, section: str) -> list[dict]:
    """Of the first sortable table of a section: its visible rows, each as its cells say."""
    return seen.page.eval_on_selector_all(
        f"#{section} table.sortable >> nth=0 >> tbody tr:visible",
        """rows => rows.map(row => ({
            name: row.cells[0].textContent.trim(), changed: row.classList.contains("on"),
            raw: [...row.cells].map(c => c.dataset.v === undefined ? null : c.dataset.v),
            text: [...row.cells].map(c => c.textContent.trim().replace(/\\s+/g, " ")) }))""",
    )


def test_it_asks_for_nothing_but_itself(browser, url: str) -> None:
    with visit(browser, url) as seen:
        assert seen.requests == [url]
        assert seen.complaints == []


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The report from a server that allows nothing but what the hashes name, and who asked."""
    text = (folder / "out" / "index.html").read_text()
    asked: list[str] = []

    def digest(tag: str) -> str:
        inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside is not None
        return base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()

    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest('style')}'; "
        f"script-src 'sha256-{digest('script')}'"
    )

    class Strict(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", policy)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Strict, directory=str(folder / "out")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html", asked
    server.shutdown()


def test_a_server_that_forbids_everything_else_changes_nothing(browser, served) -> None:
    url, asked = served
    with visit(browser, url) as seen:
        assert seen.page.locator("#concepts .filter").count() == 1  # the script ran
        assert seen.page.evaluate("getComputedStyle(document.body).fontSize") == "15px"
        assert seen.page.evaluate("document.querySelector('.strip img').naturalWidth > 0")
        assert seen.complaints == [] and seen.requests == [url]
    assert set(asked) <= {"/index.html", "/favicon.ico"}


def test_data_stay_text_and_do_not_run(browser, folder: Path, url: str) -> None:
    for page in (url, address(folder, "study")):
        with visit(browser, page) as seen:
            assert EVIL in seen.page.inner_text("main")
            assert seen.page.evaluate("window.ran") is None
            assert seen.page.locator("script").count() == 1
    with visit(browser, url) as seen:
        seen.page.hover(".strip img >> nth=0")
        assert EVIL in seen.page.inner_text(".tip")
        assert seen.page.locator("script").count() == 1


def test_the_numbers_are_those_of_the_findings(browser, url: str, findings: list[dict]) -> None:
    concepts = {f["text"]: f for f in findings if f["kind"] == "concept"}
    with visit(browser, url) as seen:
        shown = rows(seen, "concepts")
        measures = rows(seen, "measures")
        pairs = rows(seen, "pairs")
        auc = seen.page.get_attribute("#auc", "data-v")
    assert len(shown) == len(concepts) == 10
    for row in shown:
        found = concepts[row["name"]]
        fields = ("effect", "q", "permutation_p", "adjusted_effect")
        assert [float(v) for v in row["raw"][2:6]] == [found[field] for field in fields]
        assert row["text"][2].startswith(
            f"{signed(found['effect'])} {signed(found['low'])} to {signed(found['high'])}"
        )
        assert row["text"][3] == probability(found["q"])
        assert row["changed"] == found["shifted"]
    for row in measures:
        found = concepts[row["name"]]
        expected = [found[m]["effect"] for m in ("share", "score", "similarity")]
        assert [float(v) for v in row["raw"][2:5]] == expected
    effects = [f["effect"] for f in findings if f["kind"] == "pair"][: len(pairs)]
    assert [float(row["raw"][3]) for row in pairs] == effects and effects
    assert float(auc or "nan") == findings[0]["effect"]


@pytest.mark.parametrize("how", ["click", "keyboard"])
def test_tables_sort_by_number(browser, url: str, findings: list[dict], how: str) -> None:
    as_it_came = [f["effect"] for f in findings if f["kind"] == "concept"]
    effects = sorted(as_it_came)
    assert as_it_came == sorted(effects, key=abs, reverse=True)
    assert min(effects) < 0 < max(effects)  # as texts they would sort otherwise
    with visit(browser, url) as seen:
        header = seen.page.locator("#concepts thead th", has_text="95 % interval")
        button = header.locator("button")
        turns = (("descending", effects[::-1]), ("ascending", effects), (None, as_it_came))
        for order, expected in turns:
            if how == "click":
                button.click()
            else:
                button.focus()
                seen.page.keyboard.press("Enter")
            assert [float(row["raw"][2]) for row in rows(seen, "concepts")] == expected
            assert header.get_attribute("aria-sort") == order
            assert seen.page.inner_text("[role=status]").endswith(order or "again")
        seen.page.locator("#concepts thead button", has_text="concept").click()
        names = [row["name"] for row in rows(seen, "concepts")]
        assert names == sorted(names) and seen.page.locator("#concepts [aria-sort]").count() == 1


def test_a_filter_leaves_the_rows_with_its_words(browser, url: str, findings: list[dict]) -> None:
    changed = [f["text"] for f in findings if f["kind"] == "concept" and f["shifted"]]
    with visit(browser, url) as seen:
        box = seen.page.locator("#concepts input[type=search]")
        box.fill("EE r")
        assert {row["name"] for row in rows(seen, "concepts")} == {"green", "tree"}
        assert seen.page.inner_text("#concepts .filter output") == "2 of 10 rows"
        box.press("Escape")
        assert len(rows(seen, "concepts")) == 10
        seen.page.locator("#concepts input[type=checkbox]").check()
        assert [row["name"] for row in rows(seen, "concepts")] == changed


def test_a_keyboard_reaches_and_reads_everything(browser, url: str, folder: Path) -> None:
    with visit(browser, url) as seen:
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        targets = page.eval_on_selector_all("a[href^='#']", "all => all.map(a => a.hash)")
        assert len(targets) > 10 and all(page.locator(target).count() == 1 for target in targets)
        titles = page.eval_on_selector_all("main > section[id]", "all => all.map(s => s.id)")
        linked = page.eval_on_selector_all(".contents a", "all => all.map(a => a.hash.slice(1))")
        assert linked == titles[1:] and titles[0] == "glance"
        strip = page.locator(".strip >> nth=0")
        assert strip.locator("[tabindex='0']").count() == 1
        strip.locator("[tabindex='0']").focus()
        labels = strip.locator("img").evaluate_all("all => all.map(i => i.alt)")
        for label in labels[:3]:
            assert page.inner_text(".tip") == label and page.is_visible(".tip img")
            page.keyboard.press("ArrowRight")
        page.keyboard.press("End")
        assert page.inner_text(".tip") == labels[-1]
        page.keyboard.press("Escape")
        assert page.is_hidden(".tip")
    model = json.loads((folder / "by" / "page.json").read_text())
    with visit(browser, address(folder, "by")) as seen:
        first = model["trends"][0]
        seen.page.locator(".points [tabindex='0'] >> nth=0").focus()
        for point in first["points"]:
            told = seen.page.inner_text(".tip")
            assert told.startswith(f"year = {point['value']}: {point['mean']:.3f} ± ")
            seen.page.keyboard.press("ArrowRight")


@pytest.mark.parametrize(
    ("name", "size", "colours"),
    [
        ("out", DESKTOP, "light"),
        ("out", PHONE, "dark"),
        pytest.param("out", DESKTOP, "dark", marks=pytest.mark.slow),
        pytest.param("out", PHONE, "light", marks=pytest.mark.slow),
        ("by", DESKTOP, "dark"),
        ("study", PHONE, "dark"),
    ],
)
def test_it_serves_everybody(browser, folder: Path, name: str, size, colours) -> None:
    with visit(browser, address(folder, name), size, colours) as seen:
        if name == "by":
            seen.page.locator("summary").click()
        assert seen.flaws() == []


@pytest.mark.parametrize("name", ["out", "by", "study"])
def test_it_fits_windows_and_paper(browser, folder: Path, name: str) -> None:
    with visit(browser, address(folder, name)) as seen:
        for width in (320, 390, 1280):
            seen.page.set_viewport_size({"width": width, "height": 800})
            assert not seen.overflows(), width
        seen.page.set_viewport_size({"width": 695, "height": 1000})  # A4 within its margins
        seen.page.emulate_media(media="print")
        cut = "all => all.filter(e => %s).map(e => e.ariaLabel)"
        cut %= "e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1"
        assert seen.page.eval_on_selector_all(".scroll", cut) == [] and not seen.overflows()
        assert seen.page.locator(".filter:visible, .contents:visible").count() == 0


def test_nothing_is_lost_without_scripts(browser, url: str) -> None:
    with visit(browser, url) as seen:
        full = seen.page.evaluate(
            "[...document.querySelectorAll('main td, main th, main p, main li')]"
            ".map(e => e.textContent.trim())"
        )
    with visit(browser, url, java_script_enabled=False) as seen:
        page = seen.page
        shown = page.locator("main td, main th, main p, main li").all_text_contents()
        assert [text.strip() for text in shown] == full
        assert page.locator("main button, main input").count() == 0
        assert page.locator(".strip img:visible").count() == page.locator(".strip img").count() > 0
