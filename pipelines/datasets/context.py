"""PASCAL Context, 59 classes: images of VOC 2010, 5,105 for validation.

    VOCdevkit/VOC2010/JPEGImages/2008_000002.jpg
    VOCdevkit/VOC2010/SegmentationClassContext/2008_000002.png
    VOCdevkit/VOC2010/ImageSets/SegmentationContext/val.txt

as mmsegmentation's pascal_context converter writes them: 0 for background, which the 59-class
task ignores, and 1 to 59. Where the masks are not there, those of `VOC2010/trainval_merged.json`,
the file of the detail API from which they are made, are taken.

The classes are those of CATEGORIES, in the order of their numbers among PASCAL Context's 459, which
is alphabetical: the converter sorts the numbers. (Older lists of names in another order, as once in
mmsegmentation's PascalContextDataset, do not fit its masks.)

Sources: mmsegmentation's page on preparing datasets, its converter, PascalContextDataset59 and
issue 3021 on the order; converters that read trainval_merged.json without the detail API.
"""

import json
from pathlib import Path
from typing import Any

from pipelines.datasets import source
from pipelines.datasets.blob import of_file
from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.item import Item
from pipelines.datasets.masks import IGNORE, Mask, PngMask, RunLengthMask, table
from pipelines.errors import UsageError
from pipelines.io.classes import Classes

CATEGORIES = {
    2: "aeroplane", 9: "bag", 18: "bed", 19: "bedclothes", 22: "bench", 23: "bicycle", 25: "bird",
    31: "boat", 33: "book", 34: "bottle", 44: "building", 45: "bus", 46: "cabinet", 59: "car",
    65: "cat", 68: "ceiling", 72: "chair", 80: "cloth", 85: "computer", 98: "cow", 104: "cup",
    105: "curtain", 113: "dog", 115: "door", 144: "fence", 158: "floor", 159: "flower", 162: "food",
    187: "grass", 189: "ground", 207: "horse", 220: "keyboard", 232: "light", 258: "motorbike",
    259: "mountain", 260: "mouse", 284: "person", 295: "plate", 296: "platform",
    308: "pottedplant", 324: "road", 326: "rock", 347: "sheep", 349: "shelves", 354: "sidewalk",
    355: "sign", 360: "sky", 366: "snow", 368: "sofa", 397: "table", 415: "track", 416: "train",
    420: "tree", 424: "truck", 427: "tvmonitor", 440: "wall", 445: "water", 454: "window",
    458: "wood",
}  # fmt: skip
"""Number among the 459 of PASCAL Context → name."""

NAMES = tuple(CATEGORIES.values())
SPACED = {"pottedplant": "potted plant", "tvmonitor": "tv monitor"}
PUBLISHED = {"val": 5_105, "train": 4_998}
ROOTS = ("VOCdevkit/VOC2010", "VOC2010", ".")
VOC = "VOCtrainval_03-May-2010.tar"
JSON = "trainval_merged.json"
CONVERTER = "mmsegmentation's tools/dataset_converters/pascal_context.py"


def read(root: Path, options: Options) -> Dataset:
    """A split of the images under `root`."""
    split = source.choose_split(options.split, tuple(PUBLISHED), "PASCAL Context")
    images = source.folder(root, [f"{name}/JPEGImages" for name in ROOTS], VOC)
    voc = images.parent
    masks = _png_masks(voc, split) if _converted(voc) else _json_masks(voc, split)
    found = source.pictures(images)
    for key in masks:
        if key not in found:
            raise UsageError(f"{images} has no {key}.jpg; it comes with {VOC}")
    items = [Item(key, found[key], {"split": split}, masks[key]) for key in sorted(masks)]
    return Dataset(
        "context59",
        split,
        "PASCAL Context, 59 classes",
        "images: Flickr's terms of use, as for PASCAL VOC; annotations: for research",
        PUBLISHED[split],
        items,
        Classes(NAMES, tuple((SPACED.get(name, name),) for name in NAMES)),
    )


def _converted(voc: Path) -> bool:
    if (voc / "SegmentationClassContext").is_dir():
        return True
    if (voc / JSON).is_file():
        return False
    raise UsageError(
        f"{voc} has no folder SegmentationClassContext, as {CONVERTER} writes it, and no {JSON} "
        "from which to make it"
    )


def _png_masks(voc: Path, split: str) -> dict[str, Mask]:
    names = source.file(voc, [f"ImageSets/SegmentationContext/{split}.txt"], CONVERTER)
    folder = voc / "SegmentationClassContext"
    values = table({0: IGNORE} | {i + 1: i for i in range(len(NAMES))})
    keys = source.lines(names)
    if not keys:
        raise UsageError(f"{names} names no images")
    files = {key: source.file(folder, [f"{key}.png"], CONVERTER) for key in keys}
    return {key: PngMask(of_file(path), values) for key, path in files.items()}


def _json_masks(voc: Path, split: str) -> dict[str, Mask]:
    """The masks of the detail API's file: segments painted in its order."""
    path = voc / JSON
    try:
        with path.open(encoding="utf-8") as file:
            found = json.load(file)
        wanted = {i["image_id"]: i for i in found["images"] if i["phase"] == split}
        segments: dict[Any, list[tuple[int, str]]] = {number: [] for number in wanted}
        for segment in found["annos_segmentation"]:
            if segment["image_id"] in wanted:
                runs = segment["segmentation"]["counts"]
                segments[segment["image_id"]].append((_class(segment, path), str(runs)))
        return {
            str(image["file_name"]).rpartition(".")[0]: RunLengthMask(
                int(image["height"]),
                int(image["width"]),
                tuple(segments[number]),
                f"{path}, image {image['file_name']}",
            )
            for number, image in wanted.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not as the detail API has it: {error!r}") from error


def _class(segment: dict[str, Any], path: Path) -> int:
    number = segment["category_id"]
    if number not in CATEGORIES:
        raise UsageError(f"{path} has a segment of category {number}, none of the 59")
    return list(CATEGORIES).index(number)
