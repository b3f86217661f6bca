"""The whole study on generated scenes: two datasets, extract, fit, compare, report."""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from pipelines.analyse.compare import ComparePlan, Comparison, compare
from pipelines.analyse.fit import FitPlan, fit
from pipelines.analyse.written import plain
from pipelines.errors import UsageError
from pipelines.extract.job import extract
from pipelines.extract.plan import Plan
from pipelines.io.files import write_json
from pipelines.model_spec import ModelSpec
from pipelines.run.cluster import ray_session
from pipelines.terminal.aligned import WIDTH
from pipelines.terminal.changes import change_lines
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES

T = TypeVar("T")
SEEDS = {"baseline": 101, "current": 202}
BOOSTS: dict[str, dict[str, float]] = {"baseline": {}, "current": {"yellow": 3.0, "car": 2.0}}
PAIRS_PER_CONCEPT = 100  # 2.4 % of the tiny model's pairs; see infra/decisions.md


def demo(out: str, images: int, in_process: bool, wide: int = WIDTH) -> Comparison:
    """Generate, extract, fit and compare into `out`; print what to look at, in lines of `wide`.

    Running it again does only what is missing. Raises UsageError if `out` holds other scenes.
    """
    out = os.path.abspath(out)
    with nullcontext() if in_process else ray_session():
        for name in SEEDS:
            _step(f"generate {images} scenes: {_title(name)}", partial(_scenes, out, name, images))
        for name in SEEDS:
            _step(f"extract {name}", partial(extract, _extraction(out, name, in_process)))
        for name in SEEDS:
            plan = FitPlan(f"{out}/{name}", words="scenes", in_process=in_process)
            _step(f"fit {name}", partial(fit, plan))
        sides = ComparePlan(f"{out}/comparison", f"{out}/baseline", f"{out}/current")
        found = _step("compare", partial(compare, sides))
    _print_end(found, out, wide)
    return found


def _title(name: str) -> str:
    planted = " and ".join(f"{attribute} x{x:g}" for attribute, x in BOOSTS[name].items())
    return f"{name}, with {planted}" if planted else name


def _scenes(out: str, name: str, images: int) -> None:
    folder = f"{out}/scenes/{name}"
    wanted = {"images": images, "seed": SEEDS[name], "boost": BOOSTS[name]}
    record = f"{folder}/scenes.json"
    if not os.path.exists(record):
        write_scenes(folder, images, SEEDS[name], BOOSTS[name])
        write_json(record, wanted)
    with open(record) as file:
        there = json.load(file)
    if there != wanted:
        raise UsageError(
            f"{folder} holds {there['images']} other scenes; delete {out} or give another --out"
        )


def _extraction(out: str, name: str, in_process: bool) -> Plan:
    return Plan(
        data=f"{out}/scenes/{name}/*.tar",
        out=f"{out}/{name}",
        model=ModelSpec("tiny"),
        concepts=ATTRIBUTES,
        pairs_per_concept=PAIRS_PER_CONCEPT,
        columns=("caption", "year", "source"),
        labels=ATTRIBUTES,
        bucket="source",
        in_process=in_process,
    )


def _step(title: str, action: Callable[[], T]) -> T:
    print(f"== {title}", flush=True)
    start = time.perf_counter()
    result = action()
    print(f"   {time.perf_counter() - start:.1f} s", flush=True)
    return result


def _print_end(found: Comparison, out: str, wide: int) -> None:
    lines = change_lines(plain(found.findings), plain(found.summary), wide)
    print("", *lines, sep="\n")
    print(f"\nreport: {out}/comparison/index.html")
    query = "SELECT caption, similarity_yellow FROM images ORDER BY 2 DESC LIMIT 5"
    print("To try next:")
    print(f"  nhd atlas --run {out}/baseline --beside {out}/current --out {out}/atlas")
    print(f'  nhd query "{query}" --run {out}/current')
