"""From the shards' counts to rows: accuracies with intervals, and what each of them is."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import binomtest

from pipelines.evaluate.design import Design

SEEN = ("read", "rejected", "unlabelled", "unknown", "images", "checked", "equal")
SCHEMA = pa.schema(
    [
        ("experiment", pa.string()),
        ("unit", pa.string()),
        ("k", pa.int32()),
        ("keep", pa.float64()),
        ("kept", pa.int32()),
        ("atoms", pa.int32()),
        ("control", pa.bool_()),
        ("seed", pa.int32()),
        ("correct", pa.int64()),
        ("images", pa.int64()),
        ("accuracy", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("agree", pa.float64()),
        ("explained", pa.float64()),
        ("kind", pa.string()),
        ("paper", pa.float64()),
    ]
)
"""`agree`: the share of images of which the predicted class is the original's. `explained`: of the
embeddings' variance about the mean, 1 - Σ‖M' - M‖² / Σ‖M - M̄‖². `paper`: accuracy on ImageNet with
RN50x16, in arXiv 2509.19943."""
PAPER = {
    ("original", "pairs", None): 0.707,
    ("rank", "pairs", 1): 0.707,
    ("rank", "neurons", 1): 0.669,
    ("rank", "neurons", 2): 0.690,
    ("rank", "neurons", 4): 0.700,
    ("ablation", "pairs", 0.2): 0.657,
    ("ablation", "neurons", 0.2): 0.457,
}
"""The last two are told as losses, of about 5 and about 25 points."""


@dataclass(frozen=True)
class Counts:
    """All shards together."""

    seen: dict[str, int]
    spread: float
    correct: np.ndarray
    """[S]"""
    agree: np.ndarray
    """[S]"""
    error: np.ndarray
    """[S]"""


def counts_of(shards: list[dict[str, Any]], settings: int) -> Counts:
    """Add up what the shards' files say; those without labelled images add nothing."""
    none = np.zeros(settings, np.int64)
    lists = {
        name: np.sum([none, *(np.array(s[name]) for s in shards if s[name])], axis=0)
        for name in ("correct", "agree", "error")
    }
    seen = {name: sum(shard[name] for shard in shards) for name in SEEN}
    return Counts(seen, sum(shard["spread"] for shard in shards), **lists)


def rows_of(design: Design, counts: Counts) -> pd.DataFrame:
    """One row per setting, in the columns of SCHEMA, and one of the check against the model."""
    rows = [_row(design, counts, place) for place in range(len(design.settings()))]
    if checked := counts.seen["checked"]:
        check = {"experiment": "original", "unit": "encode_image", "kind": "check"}
        equal = counts.seen["equal"] / checked
        rows.append(check | {"control": False, "images": checked, "agree": equal})
    return pa.Table.from_pylist(rows, SCHEMA).to_pandas()


def _row(design: Design, counts: Counts, place: int) -> dict[str, Any]:
    setting, images = design.settings()[place], counts.seen["images"]
    correct = int(counts.correct[place])
    interval = binomtest(correct, images).proportion_ci(method="wilson")
    size = setting.k if setting.k is not None else setting.keep
    control = setting.seed is not None
    kind = "identity" if design.is_identity(setting) else "control" if control else "finding"
    return asdict(setting) | {
        "control": control,
        "correct": correct,
        "images": images,
        "accuracy": correct / images,
        "low": interval.low,
        "high": interval.high,
        "agree": float(counts.agree[place]) / images,
        "explained": 1 - float(counts.error[place]) / counts.spread,
        "kind": kind,
        "paper": None if control else PAPER.get((setting.experiment, setting.unit, size)),
    }
