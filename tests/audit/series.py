"""A small series of audits on scenes, through the command line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipelines.tiny.dataset import write_scenes
from tests.jobs.test_cli import nhd

CONCEPTS = ["red", "yellow", "green", "blue", "brown", "car"]
IMAGES, PER_SHARD = 150, 75
WEEKS: dict[str, tuple[int, dict[str, float]]] = {
    "reference": (1, {}), "w1": (2, {}), "w2": (3, {}), "w3": (4, {"yellow": 6.0}),
}  # fmt: skip
"""Seed and boosts of each week's scenes; yellow is planted in the third."""


def write_weeks(folder: Path, weeks: Iterable[str] = tuple(WEEKS)) -> Path:
    """The shards of some weeks, as `<folder>/<week>/*.tar`."""
    for week in weeks:
        seed, boost = WEEKS[week]
        write_scenes(str(folder / week), IMAGES, seed, boost, per_shard=PER_SHARD)
    return folder


def configure(folder: Path, shards: Path, **changes: Any) -> Path:
    """A configuration file whose series is in `folder`."""
    given = {
        "audit": "weeks", "out": "series", "input": f"{shards}/{{name}}/*.tar", "lens": "none",
        "concepts": CONCEPTS, "labels": ["yellow"], "columns": ["year"],
        "baseline": {"reference": f"{shards}/reference/*.tar"},
        "schedule": {"audits": 10}, "run": {"in_process": True, "batch_size": 25},
        "thresholds": {"concepts": {"default": 0.4}, "labels": {"default": 0.4}, "auc": 0.65},
    } | changes  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "audit.yaml"
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    return file


def audit(file: Path, name: str, *more: str) -> Any:
    """`nhd audit`, in this process."""
    return nhd("audit", "--config", str(file), "--name", name, *more)


def verdict(file: Path, name: str) -> dict[str, Any]:
    """The verdict that was written."""
    path = file.parent / "series" / "audits" / name / "verdict.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its time of writing and its inode."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in files}
