"""Shared parts: one local Ray for the session, small shards of scenes, runs extracted from them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from pipelines.extract.job import Plan, extract
from pipelines.models import ModelSpec
from pipelines.tiny.dataset import write_scenes

CONCEPTS = ("yellow", "car", "brick")
LABELS = ("yellow", "car")
RANDOM = ModelSpec("tiny", pretrained="none")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With two test processes, all that needs Ray or shares a long fixture stays in one of them."""
    for item in items:
        if item.get_closest_marker("cluster") or "test_fit" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif "test_demo" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("demo"))


@pytest.fixture(scope="session")
def ray() -> Iterator[object]:
    """A Ray of two CPUs that every test shares."""
    from pipelines.run.cluster import ray_session

    with ray_session() as session:
        yield session


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pattern of three shards of 40, 40 and 10 scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(str(folder), 90, seed=5, per_shard=40)
    return f"{folder}/*.tar"


def plan(data: str, out: Path | str, **changes: object) -> Plan:
    """A small plan on random weights, in process."""
    given = {
        "model": RANDOM,
        "concepts": CONCEPTS,
        "labels": LABELS,
        "columns": ("year", "source"),
        "batch_size": 16,
        "in_process": True,
    }
    return Plan(data=data, out=str(out), **{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def dense_run(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run that kept every coefficient, with moments per source."""
    out = str(tmp_path_factory.mktemp("runs") / "dense")
    extract(plan(scenes, out, keep="dense", bucket="source"))
    return out
