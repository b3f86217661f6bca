"""The contact sheet: of every exemplar the picture, and below it where the row looks."""

import io
import textwrap
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pipelines.explain.heat import enlarge, heat_of, overlay
from pipelines.explain.rows import Row, Sheet
from pipelines.explain.views import Tile

SHOWN = 8
"""Exemplars in the picture; the JSON has all."""
SIDE, GAP = 0.92, 0.04  # inches, of a tile and between tiles
WORDS = 2.3  # inches, the column on the left
MARGIN, BETWEEN = 0.14, 0.34  # inches, around the sheet and between rows
DPI = 200
INK, SOFT, EMPTY = "#1a1a1a", "#666666", "#efefef"
SAID = (
    "Numbers: the image's contribution. Maps: the part of it that each place adds, on one scale "
    "per row."
)
GONE = "Empty tiles: these images could not be read again from their shards."


class Paper:
    """A sheet measured in inches from its upper left corner; pictures are pasted on at the end."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure((width, height), dpi=DPI, facecolor="white")
        self.pictures: list[tuple[float, float, Image.Image]] = []

    def write(self, x: float, y: float, text: str, size: float, colour: str, **more: Any) -> None:
        """Text whose upper left corner is at x, y."""
        place = x / self.width, 1 - y / self.height
        self.figure.text(*place, text, fontsize=size, color=colour, va="top", **more)

    def paste(self, x: float, y: float, picture: np.ndarray | None) -> None:
        """A tile, uint8 [S,S,3], or an empty one."""
        side = round(SIDE * DPI)
        tile = Image.new("RGB", (side, side), EMPTY)
        if picture is not None:
            tile = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        self.pictures.append((x, y, tile))

    def png(self) -> bytes:
        """The whole sheet."""
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        page = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        for x, y, tile in self.pictures:
            page.paste(tile, (round(x * DPI), round(y * DPI)))
        buffer = io.BytesIO()
        page.save(buffer, "PNG", dpi=(DPI, DPI), compress_level=3)
        return buffer.getvalue()


def draw(sheet: Sheet, rows: list[tuple[Row, list[Tile]]]) -> bytes:
    """The sheet as PNG."""
    columns = max(4, min(SHOWN, max(len(found) for _, found in rows)))
    width = 2 * MARGIN + WORDS + columns * (SIDE + GAP)
    lead = textwrap.wrap(sheet.lead, int(14 * width))
    top = 0.55 + 0.16 * len(lead)
    each = 2 * SIDE + GAP + BETWEEN
    paper = Paper(width, top + each * len(rows) + 0.3)
    paper.write(MARGIN, MARGIN, sheet.title, 13, INK, weight="bold")
    paper.write(MARGIN, 0.44, "\n".join(lead), 8.5, SOFT, linespacing=1.35)
    for i, (row, found) in enumerate(rows):
        _row(paper, top + 0.1 + i * each, row, found)
    paper.write(MARGIN, paper.height - 0.26, _foot(rows), 7.5, SOFT)
    return paper.png()


def _row(paper: Paper, y: float, row: Row, found: list[Tile]) -> None:
    paper.write(MARGIN, y + 0.02, row.title, 10.5, INK, weight="bold")
    lines = [line for line in (*row.lines, *_mean_token(found)) if line]
    words = "\n".join(textwrap.wrap(lines[0], 33))
    paper.write(MARGIN, y + 0.24, words, 8.5, INK, linespacing=1.35)
    after = y + 0.3 + 0.16 * (words.count("\n") + 1)
    text = "\n".join(part for line in lines[1:] for part in textwrap.wrap(line, 36))
    paper.write(MARGIN, after, text, 8, SOFT, linespacing=1.4)
    scale = _scale(found[:SHOWN])
    for i, tile in enumerate(found[:SHOWN]):
        _tile(paper, MARGIN + WORDS + i * (SIDE + GAP), y, tile, scale)


def _tile(paper: Paper, x: float, y: float, tile: Tile, scale: float) -> None:
    number = f"{tile.exemplar.coefficient:#.3g}".replace("-", "−")
    paper.write(x, y - 0.13, number, 7, SOFT)
    pictures: tuple[np.ndarray | None, ...] = (None, None)
    if tile.seen is not None:
        pixels = tile.seen.pixels
        heat = enlarge(heat_of(tile.seen.grid, tile.seen.total), len(pixels))
        pictures = (pixels, overlay(pixels, heat, scale))
    for i, picture in enumerate(pictures):
        paper.paste(x, y + i * (SIDE + GAP), picture)


def _mean_token(found: list[Tile]) -> list[str]:
    """How much of the totals comes from token 0, over all exemplars."""
    seen = [tile.seen for tile in found if tile.seen is not None]
    whole = sum(abs(one.total) for one in seen)
    part = sum(one.mean_token * (1 if one.total >= 0 else -1) for one in seen)
    return [f"from the whole-image token {part / whole:.0%}"] if whole else []


def _scale(found: list[Tile]) -> float:
    """One scale per row, so that its pictures compare."""
    heats = [heat_of(tile.seen.grid, tile.seen.total) for tile in found if tile.seen is not None]
    return max((float(heat.max()) for heat in heats), default=1)


def _foot(rows: list[tuple[Row, list[Tile]]]) -> str:
    gone = any(tile.seen is None for _, found in rows for tile in found)
    return f"{SAID} {GONE}" if gone else SAID
