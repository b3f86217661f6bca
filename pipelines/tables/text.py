"""Rows as an aligned table that fits the terminal."""

import math
from collections.abc import Sequence
from typing import Any

from pipelines.terminal.aligned import GAP, plain, shortened
from pipelines.terminal.aligned import aligned as lined_up
from pipelines.terminal.aligned import width as wide

LONGEST = 48  # columns of a cell that nothing forces to be shorter
SHORTEST = 12  # to which texts are cut before whole columns are left out
SHOWN = 3  # elements of a list


def aligned(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    """Header, rule and rows, at most `width` wide; numbers to the right.

    Long texts and lists are cut, with an ellipsis; columns that do not fit are left out, and the
    last line says how many.
    """
    numeric = [all(_is_number(row[i]) for row in rows) and bool(rows) for i in range(len(names))]
    cells = [[cell(name) for name in names], *([cell(value) for value in row] for row in rows)]
    needed = [min(LONGEST, max(map(wide, column))) for column in zip(*cells, strict=True)]
    widths = _fitted(needed, numeric, width)
    cut = [[shortened(*both) for both in zip(row, widths, strict=False)] for row in cells]
    rule = ["─" * max(map(wide, column)) for column in zip(*cut, strict=True)]
    right = [i for i in range(len(widths)) if numeric[i]]
    lines = lined_up([cut[0], rule, *cut[1:]], right)
    if hidden := len(names) - len(widths):
        lines.append(
            f"{hidden} more column{'s' * (hidden > 1)} did not fit: name those you want, or use "
            "--format csv"
        )
    return lines


def cell(value: Any) -> str:
    """A value in short; nothing in it can move the cursor or start a new line."""
    if value is None:
        return "–"
    if isinstance(value, bool | int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(map(cell, value[:SHOWN]))
        more = len(value) - SHOWN
        return f"[{shown} and {more} more]" if more > 0 else f"[{shown}]"
    return plain(str(value))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _fitted(needed: list[int], numeric: list[bool], width: int) -> list[int]:
    """Widths of the columns that are shown: the widest texts are cut first."""
    widths = list(needed)
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        texts = [i for i, each in enumerate(widths) if not numeric[i] and each > SHORTEST]
        if texts:
            widths[max(texts, key=lambda i: widths[i])] -= 1
        elif len(widths) > 1:
            widths = needed[: len(widths) - 1]
        else:
            return [width]
    return widths
