"""The whole study: what was planted is named, nothing else is, and it is seen by the truth."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipelines.demo import demo
from pipelines.errors import UsageError

IMAGES = 1200  # of a side; the demo has 2,500


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    demo(str(out), images=IMAGES, in_process=True)
    return out


def test_the_report_names_yellow_and_car_and_nothing_else(study: Path) -> None:
    findings = json.loads((study / "comparison" / "findings.json").read_text())
    concepts = {f["name"]: f for f in findings if f["kind"] == "concept"}
    assert {name for name, f in concepts.items() if f["shifted"]} == {"yellow", "car"}
    assert concepts["yellow"]["direction"] == concepts["car"]["direction"] == "up"
    labels = {f["name"] for f in findings if f["kind"] == "label" and f["shifted"]}
    assert labels == {"yellow", "car"}
    assert (study / "comparison" / "index.html").stat().st_size > 50_000


def test_the_measures_agree_with_the_truth(study: Path) -> None:
    rows = pd.concat([pd.read_parquet(p) for p in (study / "baseline" / "images").iterdir()])
    r = {m: rows[f"{m}_yellow"].corr(rows["yellow"]) for m in ("share", "score", "similarity")}
    assert max(r["share"], r["score"]) >= 0.8
    assert r["similarity"] >= 0.85


@pytest.mark.slow
def test_running_it_again_finds_everything_done(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {p: p.stat().st_mtime_ns for p in study.glob("*/images/*.parquet")}
    demo(str(study), images=IMAGES, in_process=True)
    assert rows == {p: p.stat().st_mtime_ns for p in study.glob("*/images/*.parquet")}
    with pytest.raises(UsageError, match=f"{IMAGES} other scenes"):
        demo(str(study), images=100, in_process=True)
    printed = capsys.readouterr().out
    assert "2 of 28 concepts changed" in printed and "index.html" in printed
