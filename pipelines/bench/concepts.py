"""How well each rule of concept scores tells generated scenes apart: r with the truth.

Rules are learned on some sets of scenes, without labels, and measured on others. Beside the rows of
`nhd bench` there is a table in Markdown, `table.md` in the folder, which is also printed.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from pipelines.bench.concept_rules import CHOSEN, PAPER, SIMILARITY, images_of, rules, tiny
from pipelines.bench.result import Result
from pipelines.extract.job import extract
from pipelines.extract.plan import Plan
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.lens.calibrate import calibrate
from pipelines.lens.plan import CalibratePlan
from pipelines.model_spec import ModelSpec
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES, BACKGROUNDS, COLOURS, SHAPES

SCENES = 2000  # per set
LEARNED, MEASURED = 2, 3  # sets
FAMILIES = {"all": ATTRIBUTES, "colours": COLOURS, "shapes": SHAPES, "backgrounds": BACKGROUNDS}
GAIN, ON_COLOURS = 0.15, 0.93


class Table(NamedTuple):
    """What came out: rows of (rule, learned on, measured on, concept, r)."""

    rows: pd.DataFrame
    scenes: int

    def families(self) -> pd.DataFrame:
        """(rule, family) → mean and std, over the pairs of sets, of the mean r of its concepts."""
        parts = []
        for family, concepts in FAMILIES.items():
            kept = self.rows[self.rows["concept"].isin(list(concepts))]
            each = kept.groupby(["rule", "learned", "measured"], sort=False)["r"].mean()
            found = each.groupby("rule", sort=False).agg(["mean", "std"]).fillna(0.0)
            parts.append(found.assign(family=family).set_index("family", append=True))
        return pd.concat(parts)

    def concepts(self) -> pd.DataFrame:
        """Concept → the mean r of each rule."""
        return self.rows.pivot_table("r", "concept", "rule", sort=False)


def measure(folder: str, seed: int) -> list[Result]:
    """See `compared`."""
    found = compared(folder, seed)
    text = "\n".join(markdown(found)) + "\n"
    atomic_write(f"{folder}/table.md", text.encode())
    print(text, flush=True)
    return results(found)


def compared(
    folder: str, seed: int, scenes: int = SCENES, learned: int = LEARNED, measured: int = MEASURED
) -> Table:
    """Every rule, learned on each of the first sets and measured on each of the others."""
    model = tiny()
    runs = [
        _extracted(f"{folder}/{name}", 100 * seed + name, scenes)
        for name in range(learned + measured)
    ]
    images = [images_of(run, model) for run in runs]
    rows = []
    for one in range(learned):
        plan = CalibratePlan(runs[one].url, f"{folder}/{one}/lens", in_process=True)
        learnt = rules(runs[one], images[one], calibrate(plan), model)
        for other, (name, rule) in itertools.product(
            range(learned, learned + measured), learnt.items()
        ):
            r = correlation(rule(images[other]), images[other].truth)
            rows += [(name, one, other, *pair) for pair in zip(ATTRIBUTES, r.tolist(), strict=True)]
    return Table(
        pd.DataFrame(rows, columns=["rule", "learned", "measured", "concept", "r"]), scenes
    )


def correlation(found: Tensor, truth: Tensor) -> Tensor:
    """[Q]: the point-biserial correlation of scores [B,Q] and truths [B,Q]; 0 where either is flat.

    A concept that no image of a set has would otherwise be missing from some means.
    """
    x, y = (part.double() - part.double().mean(0) for part in (found, truth))
    r = (x * y).sum(0) / (x.square().sum(0) * y.square().sum(0)).sqrt()
    return torch.where(r.isfinite(), r, 0.0)


def results(found: Table) -> list[Result]:
    """What is promised of the rule that lenses use."""
    means, concepts = found.families()["mean"], found.concepts()
    gains = concepts[CHOSEN] - concepts[SIMILARITY]
    low, median, high = map(float, gains.quantile([0.25, 0.5, 0.75]))

    def r(rule: str, family: str) -> float:
        return float(means[rule, family])

    ours, paper, plain = (r(rule, "all") for rule in (CHOSEN, PAPER, SIMILARITY))
    colours, plain_colours = r(CHOSEN, "colours"), r(SIMILARITY, "colours")
    name = "concepts: grounded"
    return [
        Result(f"{name} less the paper's pairs, all", ours - paper, "r", least=GAIN),
        Result(f"{name}, colours", colours, "r", plain_colours, "similarity", least=ON_COLOURS),
        Result(f"{name}, all", ours, "r", plain, "similarity", ratio=ours / plain, least=1.0),
        Result(f"{name} less similarity, by concept", median, "r", low=low, high=high),
    ]


def markdown(found: Table) -> Iterator[str]:
    """The table, and the concepts on which lenses lose against plain similarity."""
    families, concepts = found.families(), found.concepts()
    yield f"| rule | {' | '.join(FAMILIES)} |"
    yield "|---|" + "---|" * len(FAMILIES)
    for rule in map(str, concepts.columns):
        yield f"| {rule} | {' | '.join(_cell(families, rule, family) for family in FAMILIES)} |"
    learned, measured = (found.rows[side].nunique() for side in ("learned", "measured"))
    yield ""
    yield (
        f"Mean point-biserial r with the truth; {found.scenes} scenes a set, {learned} sets to "
        f"learn on, {measured} others to measure on; ± is the standard deviation over the "
        f"{learned * measured} pairs of sets."
    )
    lost = concepts[concepts[CHOSEN] < concepts[SIMILARITY]]
    named = [f"{c} ({row[CHOSEN]:.3f} against {row[SIMILARITY]:.3f})" for c, row in lost.iterrows()]
    yield ""
    yield f"Concepts on which '{CHOSEN}' loses against similarity: {', '.join(named) or 'none'}."


def _cell(families: pd.DataFrame, rule: str, family: str) -> str:
    return f"{families['mean'][rule, family]:.3f} ± {families['std'][rule, family]:.3f}"


def _extracted(folder: str, seed: int, scenes: int) -> Run:
    write_scenes(f"{folder}/scenes", scenes, seed)
    plan = Plan(
        data=f"{folder}/scenes/*.tar",
        out=f"{folder}/run",
        model=ModelSpec("tiny"),
        concepts=ATTRIBUTES,
        keep="dense",
        in_process=True,
    )
    extract(plan)
    return Run(plan.out)
