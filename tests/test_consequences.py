"""What follows from another change is told from what changed by itself, with the truth known."""

import pytest

from pipelines.bench.consequences import CHANGES, Setting, rates, rows

GROWN = ("one x3", "two x2", "one x3, one x0.3")


@pytest.mark.parametrize("change", GROWN)
@pytest.mark.parametrize("r", [None, 0.8])
def test_only_causes_are_named(change: str, r: float | None) -> None:
    found = rates(Setting(6, r, 2000, change), trials=12)
    assert found.wrong_trials <= 0.09  # 1 of 12
    assert found.causes_named >= 0.9
    if change != "one x3, one x0.3":
        assert found.consequences_passing > 1  # there was something to be told apart


def test_images_of_two_objects_are_no_harder() -> None:
    found = rates(Setting(6, 0.9, 2000, "one x3", objects=2), trials=12)
    assert found.wrong_trials <= 0.09 and found.causes_named == 1


def test_where_nothing_changed_nothing_is_named() -> None:
    found = [rates(Setting(10, r, 1000, "none"), trials=40) for r in (None, 0.9)]
    assert sum(f.wrong_trials for f in found) <= 2 / 40


@pytest.mark.slow
def test_the_whole_table() -> None:
    table = list(rows(20))
    assert len(table) == 160
    assert all(row["wrong_trials"] <= 0.2 for row in table)
    assert sum(row["wrong_trials"] for row in table) / len(table) <= 0.02
    for row in table:
        if row["images"] == 5000 and row["change"] in ("one x2", "one x3", "two x2"):
            assert row["causes_named"] >= 0.9, row
    assert {row["change"] for row in table} == set(CHANGES)
