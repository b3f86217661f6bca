"""The pages of audits and of their series in a real Chromium: they say what the verdicts say."""

import json
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest

from pipelines.audit.pages import audit_page, model_in, series_page
from tests.audit.series import CONCEPTS, audit, configure, verdict, write_weeks
from tests.browser import DESKTOP, PHONE, Visit, visit

pytestmark = pytest.mark.browser
OF_THE_REPORT = "#changed, #concepts, #measures, #pairs, #labels, #control, #method"
"""Sections that the tests of the report hold to the same."""
EVIL = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of two audits, one with nothing to compare with and one that crossed."""
    folder = tmp_path_factory.mktemp("series")
    shards = write_weeks(folder / "shards", ("w1", "w3"))
    changes = {
        "audit": EVIL,
        "concepts": [*CONCEPTS, "<image> & car"],
        "baseline": {"previous": True},
    }
    file = configure(folder, shards, **changes)
    assert [audit(file, week).returncode for week in ("w1", "w3")] == [0, 1]
    return file


def place(series: Path, name: str) -> Path:
    """The page of an audit, or, without a name, of the series."""
    folder = series.parent / "series"
    return (folder / "audits" / name if name else folder) / "index.html"


@pytest.mark.parametrize("name", ["", "w1", "w3"])
def test_a_page_asks_for_nothing_fits_the_window_and_serves_everybody(
    browser, series: Path, name: str
) -> None:
    url = place(series, name).as_uri()
    with visit(browser, url, PHONE, "dark") as seen:
        assert seen.requests == [url] and seen.complaints == []
        assert not seen.overflows()
        seen.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        seen.page.emulate_media(color_scheme="light")
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert not seen.overflows()
        seen.page.eval_on_selector_all(OF_THE_REPORT, "all => all.forEach(e => e.remove())")
        assert seen.flaws() == []
        assert seen.page.title() != "owned" and EVIL in seen.page.inner_text("body")


@pytest.mark.parametrize("name", ["", "w1", "w3"])
def test_every_link_leads_to_a_file_that_is_there(browser, series: Path, name: str) -> None:
    url = place(series, name).as_uri()
    with visit(browser, url) as seen:
        hrefs = seen.page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        ids = seen.page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    files = {unquote(urlparse(urljoin(url, href)).path) for href in hrefs}
    assert all(Path(file).is_file() for file in files)
    assert {str(place(series, other)) for other in ("", "w1", "w3") if other != name} <= files
    assert len(ids) == len(set(ids))


def test_the_numbers_on_the_page_are_those_of_the_verdict(browser, series: Path) -> None:
    found = verdict(series, "w3")
    with visit(browser, place(series, "w3").as_uri()) as seen:
        for part in ("auc", "images", "rejects"):
            assert number(seen, f"#verdict-{part}") == found[part]
        told = seen.page.inner_text("h1") + " " + seen.page.inner_text(".lead")
        assert words(told) == words(found["sentence"])
        rows = seen.page.eval_on_selector_all(
            "#limits tbody tr", "all => all.map(r => [...r.cells].map(c => c.dataset.v))"
        )
        values = sorted(float(row[2]) for row in rows)
        assert values == sorted(row["value"] for row in found["thresholds"])
        causes = seen.page.eval_on_selector_all(
            "#crossed tbody tr", "all => all.map(r => Number(r.cells[2].dataset.v))"
        )
        assert sorted(causes) == sorted(row["value"] for row in found["crossed"])
        yellow = next(r["value"] for r in found["crossed"] if r["name"] == "yellow")
        cards = seen.page.eval_on_selector_all(
            "#changed article .effect b", "all => all.map(b => Number(b.dataset.v))"
        )
        assert cards[0] == yellow  # the report is part of the page


def test_pointing_at_an_audit_shows_its_values_in_every_drawing(browser, series: Path) -> None:
    with visit(browser, place(series, "").as_uri()) as seen:
        read = "figure.history .read"
        assert {t.split()[0] for t in seen.page.locator(read).all_inner_texts()} == {"w3"}
        seen.page.locator("figure.history .hit[data-column='0']").last.hover()
        auc, images = (
            "figure:has(svg[aria-label^=AUC]) .read",
            "figure:has(svg[aria-label^=images]) .read",
        )
        assert seen.page.inner_text(auc).strip() == "not measured"
        assert seen.page.inner_text(images) == f"w1 {verdict(series, 'w1')['images']}"
        last = seen.page.locator("figure.history .point[tabindex='0']").last
        last.focus()
        seen.page.keyboard.press("ArrowLeft")
        assert "w1" in (seen.page.evaluate("document.activeElement.ariaLabel") or "")
        seen.page.keyboard.press("ArrowRight")
        assert seen.page.inner_text(auc).startswith("w3")


def test_the_drawings_mark_what_crossed_and_nothing_else(browser, series: Path) -> None:
    with visit(browser, place(series, "w3").as_uri()) as seen:
        drawn = seen.page.eval_on_selector_all(
            ".point.crossed", "all => all.map(p => p.closest('svg').ariaLabel.split(' over')[0])"
        )
    crossed = [r["name"] for r in verdict(series, "w3")["crossed"]]
    known = {"auc": "AUC"}
    assert {known.get(name, name) for name in crossed} == {d.removeprefix("label ") for d in drawn}


def test_a_report_of_another_version_is_left_out_and_said_so(series: Path) -> None:
    verdicts = [verdict(series, name) for name in ("w1", "w3")]
    report = series.parent / "series" / "audits" / "w3" / "report" / "page.json"
    model = json.loads(report.read_text())
    assert model_in(model) == model
    for other in (model | {"schema_version": 0}, None, []):
        assert "another version of nhd" in audit_page(verdicts, None, model_in(other))
    assert "another version" not in audit_page(verdicts, None, model)


def test_pages_are_a_function_of_what_they_are_made_from(series: Path) -> None:
    verdicts = [verdict(series, name) for name in ("w1", "w3")]
    report = series.parent / "series" / "audits" / "w3" / "report" / "page.json"
    assert place(series, "").read_text() == series_page(verdicts)
    assert place(series, "w1").read_text() == audit_page(verdicts[:1], "w3", None)
    model = json.loads(report.read_text())
    assert place(series, "w3").read_text() == audit_page(verdicts, None, model)


def number(seen: Visit, selector: str) -> float:
    """The full number behind one that is shown."""
    return float(seen.page.get_attribute(selector, "data-v") or "nan")


def words(text: str) -> list[str]:
    """Without punctuation between clauses, and whatever letter a clause begins with."""
    return text.replace(".", " ").replace(";", " ").replace(",", " ").lower().split()
