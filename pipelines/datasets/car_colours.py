"""Colours of Stanford Cars' training images, as a fine-tuned classifier saw them.

`data/refined_train.csv` of morrisfl/stanford_cars_refined has the columns x1, y1, x2, y2, Class,
image and Probability, as in `39,116,569,375,14_8,00001.jpg,0.9350605`: Class is the model's number
from 1, and the colour's. A few images are missing from it. The colours are the folders of the VCoR
dataset in alphabetical order, without beige, gold, pink, purple and tan (the repository's README
and dataset.py); that 9 is yellow is also how the code of arXiv 2509.19943 reads it.
"""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from pipelines.datasets import source
from pipelines.errors import UsageError

COLOURS = (
    "black", "blue", "brown", "green", "grey",
    "orange", "red", "silver", "white", "yellow",
)  # fmt: skip
PLACES = (
    "refined_train.csv",
    "cars_refined/refined_train.csv",
    "../cars_refined/refined_train.csv",
    "stanford_cars_refined/data/refined_train.csv",
    "data/refined_train.csv",
)
DOWNLOAD = (
    "the repository morrisfl/stanford_cars_refined (--colours FILE says where it is, "
    "--colours none does without)"
)


class Label(NamedTuple):
    """What the file says of one image."""

    model: int
    """From 1, as in the devkit."""
    colour: str


def read_colours(root: Path, given: str | None, split: str) -> dict[str, Label] | None:
    """Key → label, from the file `given` or the first of PLACES; None for the test split or `none`.

    Raises UsageError if the file is missing or not of this form.
    """
    if given == "none" or (given is None and split == "test"):
        return None
    if split == "test":
        raise UsageError("the colour labels are of the training images; use --split train")
    if given is None:
        return _read(source.file(root, PLACES, DOWNLOAD))
    if not Path(given).is_file():
        raise UsageError(f"the file of colour labels {given} does not exist")
    return _read(Path(given))


def _read(path: Path) -> dict[str, Label]:
    rows = csv.DictReader(source.lines(path))
    if not {"Class", "image"} <= set(rows.fieldnames or ()):
        raise UsageError(f"{path} has not the columns Class and image of refined_train.csv")
    return {str(row["image"]).rpartition(".")[0]: _label(path, row) for row in rows}


def _label(path: Path, row: dict[str, str]) -> Label:
    found = re.fullmatch(r"(\d+)_(\d+)", row["Class"] or "")
    if found is None or int(found[2]) >= len(COLOURS):
        raise UsageError(
            f"{path}: image {row['image']} has the class '{row['Class']}', which is not of the "
            "form model_colour with a colour from 0 to 9"
        )
    return Label(int(found[1]), COLOURS[int(found[2])])
