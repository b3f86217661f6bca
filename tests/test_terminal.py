"""What is printed says what findings.json says, lines up, fits, and cannot steer a terminal."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.commands.compare import Compare
from pipelines.analyse.fit import FitPlan, fit
from pipelines.io.store import Run
from pipelines.terminal.aligned import aligned, first_words, noted, plain, shortened, width, wrapped
from pipelines.terminal.changes import MOST_ROWS, change_lines
from pipelines.terminal.meanings import fit_lines
from tests.synthetic_run import make_run

TEXTS = st.text(st.sampled_from("ab Äß東京é́\x1b\n\t\u202e,"), max_size=12)
ROWS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=5)
)


@given(ROWS, st.sets(st.integers(0, 3)))
def test_columns_start_or_end_at_one_place(rows: list[list[str]], right: set[int]) -> None:
    lines = aligned([[*row, "|"] for row in rows], right)
    assert len({width(line) for line in lines}) == 1
    for line, row in zip(lines, rows, strict=True):
        assert line.split() == [*" ".join(map(plain, row)).split(), "|"]


@given(TEXTS, st.integers(2, 12))
def test_nothing_is_wider_than_asked_or_acts_on_a_terminal(text: str, most: int) -> None:
    assert width(shortened(text, most)) <= most
    assert width(first_words(text.split(","), most)) <= most
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", shortened(text, most) + plain(text))
    if all(width(word) <= most for word in plain(text).split()):
        assert " ".join(wrapped(text, most)).split() == plain(text).split()
    lines = noted([("n", text), ("long", text)], 12)
    assert all(width(line) <= 12 for line in lines) and len(lines) >= 2 * bool(text)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A report folder of two synthetic runs, and what `nhd compare` printed of it."""
    folder = tmp_path_factory.mktemp("terminal")
    make_run(folder / "one", n=300, seed=1)
    make_run(folder / "two", n=300, seed=2, boost={"yellow": 5.0}, rejected=60)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        Compare(f"{folder}/report", f"{folder}/one", f"{folder}/two")()
    return folder / "report", printed.getvalue()


def read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Findings and summary of a report folder."""
    findings, summary = ((folder / f"{name}.json").read_text() for name in ("findings", "summary"))
    return json.loads(findings), json.loads(summary)


def numbers(text: str) -> list[float]:
    """All numbers of a text, with true minus signs read as such."""
    return [float(x) for x in re.findall(r"[+-]?\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-"))]


def test_the_printed_numbers_are_those_of_the_findings(report: tuple[Path, str]) -> None:
    folder, printed = report
    findings, summary = read(folder)
    lines = printed.splitlines()
    (overall,) = (f for f in findings if f["kind"] == "overall")
    assert lines[0] == f"{summary['verdict']}."
    assert numbers(lines[1].replace("95 %", "")) == pytest.approx(
        [overall[k] for k in ("effect", "low", "high")], abs=6e-4
    )
    shifted = [f for f in findings if f["kind"] == "concept" and f["shifted"]]
    assert {f["name"] for f in shifted} == {"yellow"}
    for finding in shifted:
        row = next(line for line in lines if line.startswith(f"  {finding['text']} "))
        effect, low, high, q = numbers(row)[:4]
        assert (effect, low, high) == pytest.approx(
            [finding[k] for k in ("effect", "low", "high")], abs=6e-3
        )
        assert q == pytest.approx(finding["q"], rel=0.5, abs=6e-4)
        first = finding["pairs"][0]
        assert f"  {first['head']},{first['neuron']}  " in row
    assert lines[-1] == f"report: {folder}/index.html" and len(lines) <= 15
    assert not re.search(r"[^\n\x20-\U0010ffff]", printed)


def test_what_follows_and_what_was_rejected_is_said(report: tuple[Path, str]) -> None:
    folder, printed = report
    findings, _ = read(folder)
    moved = [f for f in findings if f["kind"] == "concept" and f["passes"] and not f["shifted"]]
    rejects = [f for f in findings if f["kind"] == "rejects" and f["shifted"]]
    assert rejects
    for finding in [*moved, *rejects]:
        assert finding.get("text", finding["name"].replace("_", " ")) in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("rejects"))
    assert numbers(line)[:2] == pytest.approx(
        [100 * rejects[0]["baseline"], 100 * rejects[0]["current"]], abs=6e-3
    )


def test_many_hostile_findings_still_fit(report: tuple[Path, str]) -> None:
    findings, summary = read(report[0])
    concept = next(f for f in findings if f["kind"] == "concept" and f["shifted"])
    text = "a \x1b[31mred\x1b[0m herring\nor 東京" * 3
    many = [{**concept, "name": f"c{i}", "text": text} for i in range(40)]
    given = [{**f, "shifted": False, "explained_by": [], "hidden": True} for f in many]
    for wide in (80, 96):
        lines = change_lines([findings[0], *many, *given], summary, wide)
        assert all(width(line) <= wide and "\x1b" not in line for line in lines)
        assert sum("a  [31mred" in line and "+" in line for line in lines) == MOST_ROWS
        assert any(f"and {40 - MOST_ROWS} more" in line for line in lines)


def test_a_fit_names_its_most_important_pairs(dense_run: str, tmp_path: Path) -> None:
    run = shutil.copytree(dense_run, tmp_path / "run")
    summary = fit(FitPlan(str(run), words="scenes", atoms=2, in_process=True))
    lines = fit_lines(str(run), summary)
    pairs = Run(str(run)).table("fit/pairs.parquet").to_pandas()
    assert numbers(lines[0].replace(",", "")) == [len(pairs), 90]
    best = pairs.sort_values("importance", ascending=False).reset_index()
    for line, (_, pair) in zip(lines[3:11], best.head(8).iterrows(), strict=True):
        place, importance, words = re.split(r" {2,}", line.strip())
        assert place == f"{pair['head']},{pair['neuron']}"
        assert float(importance) == pytest.approx(pair["importance"], rel=5e-3)
        assert words.split(", ") == list(pair["words"])[: words.count(",") + 1]
    (half,) = (line for line in lines if line.startswith("half"))
    count = int(numbers(half)[0])
    parts = best["importance"].cumsum() / best["importance"].sum()
    assert parts[count - 1] >= 0.5 > parts[count - 2]
    assert len(lines) <= 16 and all(width(line) <= 96 for line in lines)
