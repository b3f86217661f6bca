"""A pair on both of its sides: where its coefficient is largest and where it is smallest."""

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipelines.errors import UsageError
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import (
    EXEMPLARS,
    Row,
    Sheet,
    own_exemplars,
    pair_extremes,
    pair_facts,
    pair_look,
    strength,
)

ATOMS = 6
LABELS = 5


def parse_pair(text: str) -> tuple[int, int]:
    """`"3,118"` → (3, 118): head and neuron. Raises UsageError for anything else."""
    head, _, neuron = (part.strip() for part in text.partition(","))
    if not (head.isdecimal() and neuron.isdecimal()):
        raise UsageError(f"'{text}' is no pair: give a head and a neuron, as in --pair 3,118")
    return int(head), int(neuron)


def pair_sheet(fitted: Fitted, head: int, neuron: int) -> Sheet:
    """The stored extremes of a pair on both sides, its code in words, and its labels.

    Raises UsageError if there is no such pair.
    """
    heads, neurons = fitted.directions.heads, fitted.directions.neurons
    if not (0 <= head < heads and 0 <= neuron < neurons):
        raise UsageError(
            f"there is no pair {head},{neuron}: {fitted.run.url} has heads 0 to {heads - 1} and "
            f"neurons 0 to {neurons - 1}"
        )
    pair = fitted.pair(head, neuron)
    found = pair_facts(fitted, pair)
    found |= {"code": _code(fitted, pair), "labels": labels_of(fitted, pair)}
    sign = "positive" if found["sign"] > 0 else "negative"
    return Sheet(
        f"pair-{head}-{neuron}",
        f"Head {head}, neuron {neuron}: {', '.join(found['words'])}",
        f"{_code_line(found)}{_label_line(found)}The words describe the {sign} side.",
        found,
        (_side(fitted, found, +1), _side(fitted, found, -1)),
    )


def _side(fitted: Fitted, found: dict[str, Any], side: int) -> Row:
    """Images of the largest s (side +1) or of the smallest (side -1)."""
    pair = found["pair"]
    extremes = pair_extremes(fitted, torch.tensor([pair]), side, EXEMPLARS)
    name = "positive" if side > 0 else "negative"
    lines = (*strength(found), f"mean {found['mean'] * found['direction_norm']:.3g}")
    shown = own_exemplars(fitted, extremes)
    which = "largest" if side > 0 else "smallest"
    row_facts = {"side": name, "described_by_words": found["sign"] == side}
    first = (f"{which} coefficients",)
    return Row(f"{name} side", (*first, *lines), row_facts, shown, pair_look(fitted, pair))


def codes_of(fitted: Fitted, pairs: list[int]) -> dict[int, tuple[tuple[str, float], ...]] | None:
    """Words and coefficients of sparse codes in order of selection; None where the fit made none.

    A pair whose code is empty is left out.
    """
    if not fitted.run.exists("fit", "codes.parquet"):
        return None
    table = fitted.run.table("fit/codes.parquet")
    chosen = table.filter(pc.is_in(table["pair"], pa.array(pairs, pa.int32())))
    rows = chosen.sort_by([("pair", "ascending"), ("rank", "ascending")])
    found: dict[int, list[tuple[str, float]]] = {}
    columns = [rows[name].to_pylist() for name in ("pair", "word", "coefficient")]
    for pair, word, coefficient in zip(*columns, strict=True):
        found.setdefault(pair, []).append((word, coefficient))
    return {pair: tuple(code) for pair, code in found.items()}


def labels_of(fitted: Fitted, pair: int) -> dict[str, float]:
    """r with each label of the run, strongest first; those that do not vary are left out."""
    row = fitted.pairs.iloc[pair]
    found = {name: float(row[f"r_{name}"]) for name in fitted.info["labels"]}
    known = {name: r for name, r in found.items() if not math.isnan(r)}
    return dict(sorted(known.items(), key=lambda item: -abs(item[1])))


def _code(fitted: Fitted, pair: int) -> list[dict[str, Any]] | None:
    codes = codes_of(fitted, [pair])
    if codes is None:
        return None
    return [{"word": word, "coefficient": value} for word, value in codes.get(pair, ())]


def _code_line(found: dict[str, Any]) -> str:
    atoms = (found["code"] or [])[:ATOMS]
    text = ", ".join(f"{a['coefficient']:+.2f} {a['word']}" for a in atoms)
    count = len(found["code"] or [])
    return f"First of {count} words of its code: {text}. " if atoms else ""


def _label_line(found: dict[str, Any]) -> str:
    strongest = list(found["labels"].items())[:LABELS]
    text = ", ".join(f"{name} {r:+.2f}" for name, r in strongest)
    return f"r with labels: {text}. " if strongest else ""
