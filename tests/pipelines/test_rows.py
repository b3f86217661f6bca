"""Whatever JSON a sample holds, its fields fit their columns or are missing there."""

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.io.rows import TYPES, fit_type, infer_types

SURROGATE = json.loads('"\\ud800"')
texts = st.text() | st.text(st.sampled_from('aé"\\' + SURROGATE))
numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.booleans()
leaves = st.none() | numbers | texts | st.sampled_from([2**63, -(2**63), 10**400, SURROGATE])
values = st.recursive(leaves, lambda v: st.lists(v) | st.dictionaries(texts, v), max_leaves=8)


def stored(value: Any, kind: str) -> Any:
    """What a Parquet column of this type would give back."""
    return pa.array([fit_type(value, kind)], TYPES[kind])[0].as_py()


def deep(levels: int) -> Any:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("kind", TYPES)
@given(value=values)
def test_every_value_is_stored_or_missing(kind: str, value: Any) -> None:
    found = stored(value, kind)
    if found is not None and kind != "string":
        assert found == (float(value) if kind == "double" else value) or math.isnan(value)


@given(st.booleans())
def test_booleans_are_kept(value: bool) -> None:
    assert stored(value, "bool") is value


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_kept(value: int) -> None:
    assert stored(value, "int64") == value
    assert stored(value, "double") == float(value)


@given(st.floats(allow_nan=False))
def test_floats_are_kept(value: float) -> None:
    assert stored(value, "double") == value


@given(st.text())
def test_strings_are_kept(value: str) -> None:
    assert stored(value, "string") == value


@given(values)
def test_what_is_no_string_becomes_its_json(value: Any) -> None:
    if not isinstance(value, str | None):
        assert repr(json.loads(stored(value, "string"))) == repr(value)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (2**63, "int64", None),
        (1e300, "int64", None),
        (float("inf"), "int64", None),
        (float("nan"), "int64", None),
        (3.0, "int64", 3),
        (10**400, "double", None),
        (10**400, "string", str(10**400)),
        ("7", "int64", None),
        ([1], "bool", None),
        (1, "bool", True),
        (2, "bool", None),
        (SURROGATE, "string", "\\ud800"),
        ({"é": [True, SURROGATE]}, "string", '{"é": [true, "\\ud800"]}'),
        (deep(100_000), "string", None),
    ],
)
def test_what_fits_a_column(value: Any, kind: str, expected: Any) -> None:
    assert stored(value, kind) == expected


@pytest.mark.parametrize(
    ("peeked", "kind"),
    [
        ([1, 2**63 - 1, -(2**63)], "int64"),
        ([1, 2**63], "string"),
        ([0.5, 2**63], "double"),
        ([1, 10**400], "string"),
        ([1, 0.5], "double"),
        ([True, False], "bool"),
        ([True, 1], "string"),
        ([1, "a"], "string"),
        ([[1], {}], "string"),
    ],
)
def test_a_column_takes_the_narrowest_type_that_fits(peeked: list[Any], kind: str) -> None:
    assert infer_types(("x",), [{"x": value} for value in peeked]) == {"x": kind}
    assert all(fit_type(value, kind) is not None for value in peeked)


@given(st.lists(values.filter(lambda v: v is not None), min_size=1))
def test_every_peeked_value_fits_the_inferred_type(peeked: list[Any]) -> None:
    kind = infer_types(("x",), [{"x": value} for value in peeked])["x"]
    assert all(stored(value, kind) is not None for value in peeked)
