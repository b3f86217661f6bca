"""A run of the tiny model that has everything that can be asked of: made once for the tables."""

from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.analyse.fit import FitPlan, fit
from pipelines.audit.trend import trend_bytes, trend_of
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.files import atomic_write
from pipelines.io.listing import expand
from pipelines.model_spec import ModelSpec
from pipelines.tables.compact import CompactPlan, compact
from tests.conftest import plan


class Study(NamedTuple):
    """Folders."""

    run: str
    """50 images in two shards, a third with two rejects; fitted and compacted."""
    baseline: str
    """40 images of the same model; neither fitted nor compacted."""
    series: str


@pytest.fixture(scope="session")
def study(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Nobody writes into it."""
    folder = tmp_path_factory.mktemp("tables")
    first, *others = expand(scenes)
    bad = str(folder / "bad.tar")
    shards.write(bad, [("a.jpg", b"no image"), ("b.jpg", b"")])
    tiny = {"model": ModelSpec("tiny")}
    extract(plan(",".join([*others, bad]), folder / "run", **tiny))
    extract(plan(first, folder / "baseline", **tiny))
    fit(FitPlan(run=str(folder / "run"), atoms=2, in_process=True))
    compact(CompactPlan(str(folder / "run"), in_process=True))
    _write_trend(folder / "series")
    return Study(*(str(folder / name) for name in ("run", "baseline", "series")))


def _write_trend(folder: Path) -> None:
    """Two audits; in the second, yellow grew and red followed."""
    effects = [("w1", {"yellow": 0.02, "red": -0.01}), ("w2", {"yellow": 0.9, "red": -0.3})]
    verdicts = [
        {
            "name": name, "number": number, "state": "passed", "images": 100, "rejects": 0.0,
            "auc": 0.5,
            "thresholds": [
                {"kind": "concept", "text": text, "value": d, "low": d - 0.1, "high": d + 0.1,
                 "limit": 0.15, "state": "passed"}
                for text, d in found.items()
            ],
        }
        for number, (name, found) in enumerate(effects, 1)
    ]  # fmt: skip
    atomic_write(str(folder / "trend.parquet"), trend_bytes(trend_of(verdicts)))
