"""The comparison of concept rules: what it says of them follows from scores and truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pointbiserialr

from pipelines.bench.concept_rules import CHOSEN, PAPER, SIMILARITY
from pipelines.bench.concepts import Table, compared, correlation, markdown, results
from pipelines.tiny.scenes import ATTRIBUTES


@pytest.mark.slow
def test_every_rule_is_measured_on_scenes_that_it_did_not_learn_from(tmp_path: Path) -> None:
    found = compared(str(tmp_path), seed=0, scenes=150, learned=1, measured=1)
    assert set(found.rows["learned"]) == {0} and set(found.rows["measured"]) == {1}
    assert len(found.rows) == found.rows["rule"].nunique() * len(ATTRIBUTES)
    families = found.families()["mean"]
    assert families[CHOSEN, "all"] > families[PAPER, "all"]
    assert families[SIMILARITY, "backgrounds"] > 0.8
    assert all(0 < families[rule, "all"] < 1 for rule in found.rows["rule"])


def test_correlation_is_scipys() -> None:
    g = torch.Generator().manual_seed(0)
    truth = torch.rand(50, 3, generator=g) < 0.3
    truth[:, 2] = False
    scores = torch.rand(50, 3, generator=g) + truth
    found = correlation(scores, truth)
    for concept in range(2):
        expected = pointbiserialr(truth[:, concept].numpy(), scores[:, concept].numpy())[0]
        assert float(found[concept]) == pytest.approx(expected, abs=1e-6)
    assert found[2] == 0


def table(chosen: float, plain: float, paper: float) -> Table:
    """Every rule has the same r on all concepts, but for the first, on which lenses lose."""
    given = {PAPER: paper, SIMILARITY: plain, CHOSEN: chosen}
    rows = [
        (rule, 0, measured, concept, plain - 0.1 if rule == CHOSEN and concept == "red" else r)
        for rule, r in given.items()
        for measured in (1, 2)
        for concept in ATTRIBUTES
    ]
    columns = ["rule", "learned", "measured", "concept", "r"]
    return Table(pd.DataFrame(rows, columns=columns), 10)


def test_promises_are_kept_or_not() -> None:
    assert [r.kept for r in results(table(0.98, 0.95, 0.7))] == [True] * 4
    broken = [r.row() for r in results(table(0.90, 0.91, 0.8))]
    assert [row["kept"] for row in json.loads(json.dumps(broken))] == [False, False, False, True]


def test_the_table_names_what_is_lost() -> None:
    lines = list(markdown(table(0.98, 0.95, 0.7)))
    (row,) = [line for line in lines if line.startswith(f"| {CHOSEN} ")]
    mean = np.mean([0.98] * 27 + [0.85])
    assert row.startswith(f"| {CHOSEN} | {mean:.3f} ± 0.000 |")
    assert lines[-1].endswith("similarity: red (0.850 against 0.950).")
