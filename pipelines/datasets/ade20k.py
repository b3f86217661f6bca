"""ADE20K, the scene-parsing benchmark: 150 classes, 2,000 images for validation.

Inside ADEChallengeData2016/:

    images/validation/ADE_val_00000001.jpg
    annotations/validation/ADE_val_00000001.png    0: none of the classes, 1 to 150: the classes
    objectInfo150.txt                              columns Idx, Ratio, Train, Val, Stuff, Name

Sources: mmsegmentation's page on preparing datasets and its ADE20KDataset (reduce_zero_label), and
scripts that read objectInfo150.txt by its tab-separated header.
"""

from pathlib import Path

from pipelines.datasets import source
from pipelines.datasets.blob import of_file
from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.item import Item
from pipelines.datasets.masks import IGNORE, PngMask, table
from pipelines.errors import UsageError
from pipelines.io.classes import Classes

DOWNLOAD = "ADEChallengeData2016.zip"
FOLDERS = {"val": "validation", "train": "training"}
PUBLISHED = {"val": 2_000, "train": 20_210}
COUNT = 150


def read(root: Path, options: Options) -> Dataset:
    """A split of the images under `root`, or under its folder ADEChallengeData2016."""
    split = source.choose_split(options.split, tuple(FOLDERS), "ADE20K")
    if (root / "ADEChallengeData2016").is_dir():
        root = root / "ADEChallengeData2016"
    images = source.folder(root, [f"images/{FOLDERS[split]}"], DOWNLOAD)
    masks = source.folder(root, [f"annotations/{FOLDERS[split]}"], DOWNLOAD)
    found = source.require_images(source.pictures(images), images, DOWNLOAD)
    values = table({0: IGNORE} | {i + 1: i for i in range(COUNT)})
    items = []
    for key, image in found.items():
        mask = source.file(masks, [f"{key}.png"], DOWNLOAD)
        items.append(Item(key, image, {"split": split}, PngMask(of_file(mask), values)))
    return Dataset(
        "ade20k",
        split,
        "ADE20K, SceneParsing (ADEChallengeData2016)",
        "non-commercial research and education only, by the terms of the dataset's page",
        PUBLISHED[split],
        items,
        _classes(source.file(root, ["objectInfo150.txt"], DOWNLOAD)),
    )


def _classes(path: Path) -> Classes:
    """The 150 classes by their first names; all of a class's names are texts for prompts."""
    header, *rows = [line.split("\t") for line in source.lines(path)]
    if "Name" not in header or "Idx" not in header:
        raise UsageError(f"{path} has not the tab-separated columns Idx and Name")
    name, number = header.index("Name"), header.index("Idx")
    short = [row for row in rows if len(row) != len(header)]
    if short or [row[number].strip() for row in rows] != [str(i + 1) for i in range(COUNT)]:
        raise UsageError(f"{path} does not list the {COUNT} classes, 1 to {COUNT}, one a line")
    texts = [tuple(t.strip() for t in row[name].split(",") if t.strip()) for row in rows]
    return Classes(tuple(text[0] for text in texts), tuple(texts))
