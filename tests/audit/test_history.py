"""The drawings of a trend: true to order, inside their box, and nothing written over another."""

from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.audit.axes import BOTTOM, LEFT, LETTER, LINE, RIGHT, TOP, WIDTH
from pipelines.audit.history import MOST_AUDITS, Panel, history_of

NUMBERS = st.one_of(st.none(), st.floats(-5, 5, allow_nan=False))


def row(kind: str, name: str, value: float | None, state: str, limit: float | None) -> Any:
    reach = {} if value is None else {"low": value - 0.1, "high": value + 0.1}
    more = {"low": None, "high": None} | reach
    about = {"kind": kind, "name": name, "text": name, "direction": "up"}
    return about | more | {"value": value, "state": state, "limit": limit}


def verdict(i: int, values: list[float | None], limit: float = 0.4, name: str = "") -> Any:
    """An audit of as many concepts as there are values; those beyond the limit crossed it."""
    rows = []
    for place, value in enumerate(values):
        state = "crossed" if value is None or abs(value) >= limit else "passed"
        rows.append(row("concept", f"c{place}", value, state, limit))
    once = {"name": name or f"2026-W{i:02}", "thresholds": rows, "baseline": {"kind": "run"}}
    return once | {"auc": 0.5 + i / 1000, "rejects": 0.01 * (i % 3), "images": 1000 * i}


@settings(max_examples=40)
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=70))
def test_points_keep_the_order_of_their_values_and_stay_in_the_box(values: Any) -> None:
    verdicts = [verdict(i, found) for i, found in enumerate(values)]
    history = history_of(verdicts)
    assert len(history.audits) + history.before == len(values)
    assert len(history.audits) <= MOST_AUDITS
    for panel in history.panels:
        for one in panel.points:
            assert TOP - 0.01 <= one.y <= BOTTOM + 0.01 and LEFT < one.x < RIGHT
            if one.low is not None and one.high is not None:
                assert one.high <= one.y <= one.low
        by_value = sorted(panel.points, key=lambda point: point.value)
        heights = [point.y for point in by_value]
        assert all(a >= b - 1e-9 for a, b in pairwise(heights))


@settings(max_examples=40)
@given(
    st.lists(st.text("abcW-019", min_size=1, max_size=30), min_size=1, max_size=60, unique=True),
    st.floats(0.01, 4),
)
@example(["0", "00", "0000000000", "0000000000000"], 1.0)
def test_no_label_is_written_over_another(names: list[str], limit: float) -> None:
    verdicts = [verdict(i, [0.1 * i], limit, name) for i, name in enumerate(names)]
    for panel in history_of(verdicts).panels:
        heights = sorted(tick.at for tick in panel.ticks)
        assert all(b - a >= LINE for a, b in pairwise(heights))
        ends = [ends_of(panel, i) for i in range(len(panel.names))]
        assert all(a[1] < b[0] for a, b in pairwise(ends))
        assert ends[0][0] >= -1e-9 and ends[-1][1] <= WIDTH + 1e-9


def ends_of(panel: Panel, i: int) -> tuple[float, float]:
    """Where a name begins and ends."""
    name = panel.names[i]
    wide = LETTER * len(name.text)
    left = name.at - {"start": 0, "middle": wide / 2, "end": wide}[name.anchor]
    return left, left + wide


def test_whatever_ever_crossed_is_drawn_first_and_the_rest_is_counted() -> None:
    calm = [0.01 * place for place in range(12)]
    changed = [0.9 if place == 0 else value for place, value in enumerate(calm)]
    history = history_of([verdict(1, calm), verdict(2, changed), verdict(3, calm)])
    titles = [panel.title for panel in history.panels]
    assert titles == ["c0", "c11", "c10", "c9", "c8", "c7", "AUC", "unusable samples", "images"]
    assert history.others == 6
    assert [point.shape for point in history.panels[0].points] == ["within", "crossed", "within"]


def test_an_audit_that_did_not_compare_leaves_a_gap() -> None:
    first = verdict(1, []) | {"baseline": None, "auc": None}
    history = history_of([first, verdict(2, [0.2]), verdict(3, [0.3])])
    columns = {panel.title: [point.column for point in panel.points] for panel in history.panels}
    assert columns["c0"] == columns["AUC"] == [1, 2] and columns["images"] == [0, 1, 2]
    assert "AUC" not in [panel.title for panel in history_of([first]).panels]
