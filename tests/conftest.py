"""Shared parts: one local Ray for the session, small shards of scenes, runs extracted from them."""

import os
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 at 15, its default, they starve

from pipelines.extract.job import extract
from pipelines.extract.plan import Plan
from pipelines.extract.settings import Group
from pipelines.model_spec import ModelSpec
from pipelines.tiny.dataset import write_scenes

CONCEPTS = ("yellow", "car", "brick")
LABELS = ("yellow", "car")
RANDOM = ModelSpec("tiny", pretrained="none")
WITH_RAY = ("test_faults", "test_runner", "test_nodes", "test_notices")
"""Files whose quick tests start Ray."""
SEED = int(os.environ.get("NHD_TEST_SEED", "0"))
"""What chance is drawn from in tests; 0 lets hypothesis try the same examples every time."""
hypothesis.settings.register_profile(
    "nhd",
    derandomize=SEED == 0,
    deadline=None,  # no test fails because a machine is slow
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("nhd")


for proxies in ("no_proxy", "NO_PROXY"):  # the servers of tests are on this machine
    os.environ[proxies] = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get(proxies)]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two test processes end at about the same time."""
    order = (
        *WITH_RAY, "test_audit", "test_demo", "test_s3", "test_report_in_browser", "test_power",
        "test_models", "test_images", "test_harm", "test_segmenter", "test_evaluate",
        "test_explain", "test_segment_job", "test_patience", "test_pages_in_browser",
        "test_cli", "test_paper", "test_tiny", "test_preprocess", "test_site_in_browser",
        "test_commit", "test_calibrate", "test_extraction", "test_atlas", "test_security",
    )  # fmt: skip
    places = {name: place for place, name in enumerate(order)}
    items.sort(key=lambda item: places.get(item.path.stem, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Whole files to each process, and those with Ray to one: two that start choke two cores."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneRay(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "with Ray" if Path(file).stem in WITH_RAY else file

    return OneRay(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test draws the same numbers alone as in company, so that a failure can be repeated."""
    seed = zlib.crc32(item.nodeid.encode()) + SEED
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@pytest.fixture(scope="session")
def ray() -> Iterator[object]:
    """A Ray of two CPUs that every test shares."""
    from pipelines.run.cluster import ray_session

    with ray_session() as session:
        yield session


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A Chromium for one file of tests: Playwright leaves an event loop running beside it."""
    from tests.browser import CHROMIUM, chromium

    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with chromium() as found:
        yield found


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


def groups_of_at_most(size: int) -> Callable[..., list[Group]]:
    """In place of `Groups`: groups in order of shard id that do not shrink."""

    def groups_of(waiting: list[tuple[str, str]], *_: object) -> list[Group]:
        ids = sorted(waiting)
        return [Group(tuple(ids[i : i + size])) for i in range(0, len(ids), size)]

    return groups_of


@pytest.fixture(scope="session")
def dense_run(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run that kept every coefficient, with moments per source."""
    out = str(tmp_path_factory.mktemp("runs") / "dense")
    extract(plan(scenes, out, keep="dense", bucket="source"))
    return out
