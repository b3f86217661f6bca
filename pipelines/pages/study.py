"""A study as one self-contained HTML page: a finding, then sections of text, figure and table."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.io.files import atomic_write
from pipelines.pages.numbers import missing, percent, raw, thousands
from pipelines.pages.page import page

RESOLUTION = 2  # pixels of a figure for one of the page
LONG_TEXT = 24  # letters; columns with longer texts keep some width on a phone


@dataclass(frozen=True)
class Figure:
    """A picture, at twice the size it is shown in."""

    png: bytes
    alt: str
    """What it shows, in words."""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, then figures and a sortable table, where there are any."""

    title: str
    text: str = ""
    """Paragraphs are separated by an empty line."""
    table: pd.DataFrame | None = None
    """Column names are shown as they are."""
    percentages: Sequence[str] = ()
    """Columns whose numbers (0 to 1) are shown as percentages."""
    figures: Sequence[Figure] = ()


@dataclass(frozen=True)
class Study:
    """What a page says, from its headline to where the numbers come from."""

    title: str
    """The finding, as a sentence without its full stop."""
    lead: str
    sections: Sequence[Section]
    provenance: dict[str, Any] = field(default_factory=dict)
    kicker: str = ""
    """What was studied, in a few words above the title."""


class _Cell(NamedTuple):
    text: str
    raw: str
    """The full number, for sorting and for machines."""
    kind: str
    """`n` in a column of numbers, `words` in one of long texts, else empty."""


def render_study(study: Study, url: str) -> None:
    """Write the page to a path or fsspec URL."""
    atomic_write(url, study_page(study).encode())


def study_page(study: Study) -> str:
    """The page as text."""
    return page("study.html", s=study, sections=[_section(section) for section in study.sections])


def _section(section: Section) -> dict[str, Any]:
    table = pd.DataFrame() if section.table is None else section.table
    cells = [[_cell(v, name in section.percentages) for v in table[name]] for name in table]
    kinds = [_kind(column) for column in cells]
    header = [_Cell(str(name), "", kind) for name, kind in zip(table, kinds, strict=True)]
    rows = [
        [cell._replace(kind=kind) for cell, kind in zip(row, kinds, strict=True)]
        for row in zip(*cells, strict=True)
    ]
    return {
        "title": section.title,
        "paragraphs": [part.strip() for part in section.text.split("\n\n") if part.strip()],
        "figures": [_figure(figure) for figure in section.figures],
        "header": header,
        "rows": rows,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    width, height = Image.open(io.BytesIO(figure.png)).size
    uri = "data:image/png;base64," + base64.b64encode(figure.png).decode()
    size = {"width": width // RESOLUTION, "height": height // RESOLUTION}
    return {"uri": uri, "alt": figure.alt, **size}


def _kind(column: list[_Cell]) -> str:
    if any(cell.kind for cell in column):
        return "n"
    return "words" if any(len(cell.text) > LONG_TEXT for cell in column) else ""


def _cell(value: Any, as_percent: bool) -> _Cell:
    if missing(value) or value is pd.NA:
        return _Cell("–", "", "")
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__float__"):
        return _Cell(str(value), "", "")
    if as_percent:
        return _Cell(percent(float(value)), raw(value), "n")
    whole = float(value).is_integer() and not isinstance(value, float)
    return _Cell(thousands(value) if whole else _short(float(value)), raw(value), "n")


def _short(value: float) -> str:
    """Three significant digits, without an exponent where that is short."""
    if not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}" if digits <= 5 else f"{value:.2e}"
    return text.replace("-", "−")
