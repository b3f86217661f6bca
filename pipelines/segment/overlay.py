"""A scene, its truth and what each method made of it, side by side, with the classes' colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pipelines.segment.figures import DPI, png_of
from pipelines.segment.metrics import confusion, scores
from pipelines.segment.palette import colours
from pipelines.segment.unit_result import Picture

COLUMNS = 4
PANEL = 2.55  # inches: four panels are as wide as the page
OPACITY = 0.72
LEGEND = 22  # classes at most, the most frequent ones
UNKNOWN = 255

Shown = Sequence[tuple[int, str]]
"""The settings that are shown, and what each is called."""


def overlay(picture: Picture, shown: Shown, names: tuple[str, ...]) -> bytes:
    """PNG: panels of the scene, the truth and the settings in rows of four, then a legend."""
    height, width = picture.image.shape[:2]
    panels: list[tuple[str, NDArray[np.uint8] | None]] = [("image", None)]
    panels += [] if picture.truth is None else [("truth", picture.truth)]
    panels += [(_title(picture, i, name, len(names)), picture.maps[i]) for i, name in shown]
    rows = -(-(len(panels) + 1) // COLUMNS)
    tall = PANEL * min(1.6, height / width) + 0.28
    canvas = Canvas(figsize=(COLUMNS * PANEL, rows * tall), dpi=DPI, layout="constrained")
    cells = list(np.ravel(canvas.subplots(rows, COLUMNS)))
    for axes, (title, ids) in zip(cells, panels, strict=False):
        axes.imshow(_blended(picture.image, ids, len(names)), interpolation="nearest")
        axes.set_title(title, fontsize=8.5, pad=3)
    for axes in cells:
        axes.axis("off")
    _legend(cells[len(panels)], [ids for _, ids in panels if ids is not None], names)
    return png_of(canvas)


def _title(picture: Picture, setting: int, name: str, classes: int) -> str:
    if picture.truth is None:
        return name
    found = scores(confusion(picture.truth, picture.maps[setting], classes)).mean_iou
    return name if np.isnan(found) else f"{name}: {100 * found:.0f} %"


def _blended(
    image: NDArray[np.uint8], ids: NDArray[np.uint8] | None, classes: int
) -> NDArray[np.uint8]:
    """The image in grey under the classes' colours; unknown pixels stay grey."""
    if ids is None:
        return image
    grey = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    known = ids < classes
    colour = colours(classes)[np.where(known, ids, 0)]
    part = OPACITY * known[..., None]
    return np.round((1 - part) * grey + part * colour).astype(np.uint8)


def _legend(axes: Axes, maps: list[NDArray[np.uint8]], names: tuple[str, ...]) -> None:
    """The classes that occur, the most frequent first."""
    counts = np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=256)[: len(names)]
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]][:LEGEND]
    handles = [Patch(color=colours(len(names))[i] / 255, label=names[i]) for i in order]
    columns = 2 if len(handles) > LEGEND // 2 else 1
    style = {"fontsize": 7.5, "handlelength": 1.0, "labelspacing": 0.4, "columnspacing": 1.0}
    axes.legend(handles=handles, loc="upper left", frameon=False, ncols=columns, **style)
