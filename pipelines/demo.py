"""The whole study on generated scenes: two datasets, extract, fit, compare, report."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from pipelines.cluster import ray_session
from pipelines.compare import ComparePlan, Comparison, compare
from pipelines.extraction import Plan, extract
from pipelines.fit import FitPlan, fit
from pipelines.models import ModelSpec
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES

BOOST = {"yellow": 3.0, "car": 2.0}
SEEDS = {"baseline": 101, "current": 202}


def demo(out: str, images: int, in_process: bool) -> Comparison:
    """Generate, extract, fit and compare into `out`; print what to look at. Resumes."""
    with nullcontext() if in_process else ray_session():
        found = _study(out.rstrip("/"), images, in_process)
    _print_end(found, out.rstrip("/"))
    return found


def _study(out: str, images: int, in_process: bool) -> Comparison:
    for name, seed in SEEDS.items():
        boost = BOOST if name == "current" else {}
        planted = f", {' and '.join(f'{k} x{v:g}' for k, v in boost.items())}" if boost else ""
        _step(
            f"generate {images} scenes: {name}{planted}",
            lambda n=name, s=seed, b=boost: write_scenes(
                f"{out}/scenes/{n}", images, s, b, in_process=in_process
            ),
        )
    for name in SEEDS:
        plan = Plan(
            data=f"{out}/scenes/{name}/*.tar",
            out=f"{out}/{name}",
            model=ModelSpec("tiny"),
            concepts=ATTRIBUTES,
            columns=("caption", "year", "source"),
            labels=ATTRIBUTES,
            in_process=in_process,
        )
        _step(f"extract {name}", lambda plan=plan: extract(plan))
    for name in SEEDS:
        _step(
            f"fit {name}",
            lambda n=name: fit(FitPlan(f"{out}/{n}", words="scenes", in_process=in_process)),
        )
    plan = ComparePlan(
        baseline=f"{out}/baseline", current=f"{out}/current", out=f"{out}/comparison"
    )
    found: Comparison = _step("compare", lambda: compare(plan))
    return found


def _step(title: str, action: Callable[[], Any]) -> Any:
    print(f"== {title}", flush=True)
    start = time.perf_counter()
    result = action()
    print(f"   {time.perf_counter() - start:.1f} s", flush=True)
    return result


def _print_end(found: Comparison, out: str) -> None:
    overall = found.of("overall")[0]
    print(f"\n{found.summary['verdict']}.")
    print("Three findings:")
    low, high = overall["low"], overall["high"]
    print(f"  a classifier tells the two datasets apart with AUC {overall['effect']:.3f} ({low:.3f} to {high:.3f})")
    for finding in found.shifted()[:2]:
        pair = finding.get("pairs", [{}])[0]
        seen = f"; pair {pair['name']} saw it" if "name" in pair else ""
        interval = f"{finding['low']:+.2f} to {finding['high']:+.2f}"
        print(f"  {finding['text']}: {finding['effect']:+.2f} standard deviations ({interval}){seen}")
    print(f"\nThe report: {out}/comparison/index.html")
    print("A query to try next (DuckDB):")
    print("  SELECT caption, similarity_yellow, score_yellow, share_yellow")
    print(f"  FROM '{out}/current/images/*.parquet' ORDER BY score_yellow DESC LIMIT 5;")
