"""A run's id and beginning are drawn once and stay; what has no id gets one, always the same."""

import json
import shutil
import time
from datetime import datetime
from pathlib import Path

from pipelines.bench.empty_extraction import Writer
from pipelines.extract.job import extract
from pipelines.io.store import Run
from pipelines.run.identity import run_id
from tests.conftest import plan


def test_an_id_is_kept_by_every_later_run_and_by_a_copy(scenes: str, tmp_path: Path) -> None:
    first, second = str(tmp_path / "a" / "weekly"), str(tmp_path / "b" / "weekly")
    shard = scenes.replace("*", "scenes-000002")
    extract(plan(shard, first), Writer)
    extract(plan(shard, second), Writer)
    drawn, begun = run_id(Run(first)), Run(first).info["begun"]
    assert abs(datetime.fromisoformat(begun).timestamp() - time.time()) < 3600
    assert drawn.startswith("weekly-") and drawn != run_id(Run(second))
    extract(plan(shard, first), Writer)
    shutil.copytree(first, tmp_path / "copy")
    assert run_id(Run(first)) == run_id(Run(str(tmp_path / "copy"))) == drawn
    assert Run(first).info["begun"] == begun


def test_a_run_from_before_there_were_ids_gets_the_one_it_was_called_by(
    scenes: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "old")
    shard = scenes.replace("*", "scenes-000002")
    extract(plan(shard, out), Writer)
    path = tmp_path / "old" / "run.json"
    old = {k: v for k, v in Run(out).info.items() if k not in ("run_id", "begun")}
    path.write_text(json.dumps(old))
    called = run_id(Run(out))
    extract(plan(shard, out), Writer)
    assert Run(out).info["run_id"] == called and "begun" not in Run(out).info


def test_a_signature_or_user_in_the_url_changes_no_id() -> None:
    one, other = "memory://KEY:SECRETSECRET@bucket/runs/x", "memory://bucket/runs/x"
    assert run_id(Run(one)) == run_id(Run(other))
