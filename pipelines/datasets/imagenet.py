"""ImageNet (ILSVRC2012), validation split: 50,000 images of 1,000 classes.

Read from whichever of its published forms is there:

- folders named by WordNet id, `val/n01440764/ILSVRC2012_val_00000293.JPEG`, as torchvision and
  most training scripts arrange it;
- `ILSVRC2012_img_val.tar`, or its images in one folder (`val/`, or Kaggle's
  `ILSVRC/Data/CLS-LOC/val/`), with the labels of the devkit (ILSVRC2012_devkit_t12: meta.mat and
  ILSVRC2012_validation_ground_truth.txt) or of Kaggle (LOC_val_solution.csv);
- WebDataset shards with a class number in `.cls`, as timm/imagenet-1k-wds has them
  (`imagenet1k-validation-00.tar`, ...).

Class i is the i-th WordNet id in alphabetical order, as everywhere; the devkit numbers them
otherwise. Sources: torchvision.datasets.ImageNet for the devkit, the files of
timm/imagenet-1k-wds as training scripts read them, the devkit's readme as quoted in those.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from pipelines.datasets import source
from pipelines.datasets.blob import Blob, of_tar
from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.devkit import devkit_labels
from pipelines.datasets.item import Item
from pipelines.errors import UsageError
from pipelines.io.classes import read_classes
from pipelines.io.shards import IMAGE_TYPES, split

FOLDERS = ("val", "ILSVRC/Data/CLS-LOC/val", ".")
TAR = "ILSVRC2012_img_val.tar"
WNID = re.compile(r"n\d{8}")
IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})")

Labelled = tuple[str, Blob, int]
"""Key, image, class index."""


def read(root: Path, options: Options) -> Dataset:
    """The validation images under `root`, in the order of their names."""
    chosen = source.choose_split(options.split, ("val",), "ImageNet")
    classes = read_classes("imagenet")
    wnids = synsets()
    items = [
        Item(
            key,
            image,
            {
                "class": classes.names[index],
                "class_index": index,
                "wnid": wnids[index],
                "split": chosen,
            },
        )
        for key, image, index in sorted(_found(root, wnids), key=lambda found: found[0])
    ]
    return Dataset(
        "imagenet",
        chosen,
        "ImageNet ILSVRC2012, validation",
        "non-commercial research and education only, by image-net.org's terms of access",
        50_000,
        items,
        classes,
    )


def synsets() -> list[str]:
    """The 1,000 WordNet ids in the order of the class indices, from timm's package data."""
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise UsageError("ImageNet's WordNet ids come with timm: pip install timm") from error
    found = list(ImageNetInfo("imagenet-1k").label_names())
    if len(found) != 1000 or found != sorted(found):
        raise UsageError("timm's list of ImageNet's WordNet ids is not the 1,000 in order")
    return found


def _found(root: Path, wnids: list[str]) -> list[Labelled]:
    places = [root / name for name in FOLDERS if (root / name).is_dir()]
    for place in places:
        if folders := sorted(f for f in place.iterdir() if f.is_dir() and WNID.fullmatch(f.name)):
            return [labelled for folder in folders for labelled in _of_class(folder, wnids)]
    for place in places:
        flat = {k: v for k, v in source.pictures(place).items() if IMAGE.fullmatch(k)}
        if flat:
            return _flat(root, flat, wnids)
    if (root / TAR).is_file():
        inside = {blob.name.rpartition("/")[2]: blob for blob in of_tar(root / TAR)}
        return _flat(root, {name.partition(".")[0]: blob for name, blob in inside.items()}, wnids)
    if shards := _validation_shards(root):
        return [labelled for shard in shards for labelled in _of_shard(shard)]
    raise UsageError(
        f"{root} holds no ImageNet validation images: neither folders such as val/n01440764, nor "
        f"{TAR}, nor images such as val/ILSVRC2012_val_00000001.JPEG, nor shards with .cls"
    )


def _of_class(folder: Path, wnids: list[str]) -> list[Labelled]:
    if folder.name not in wnids:
        raise UsageError(f"{folder} is none of the 1,000 classes of ILSVRC2012")
    found = source.require_images(source.pictures(folder), folder, TAR)
    return [(key, image, wnids.index(folder.name)) for key, image in found.items()]


def _flat(root: Path, images: dict[str, Blob], wnids: list[str]) -> list[Labelled]:
    label = _labels(root)
    index = {wnid: i for i, wnid in enumerate(wnids)}
    found = []
    for key, image in images.items():
        number = IMAGE.fullmatch(key)
        if number is None:
            raise UsageError(f"{image.place} is not named like a validation image of ILSVRC2012")
        wnid = label(key, int(number[1]))
        if wnid not in index:
            raise UsageError(f"{image.place} has the label {wnid}, none of the 1,000 classes")
        found.append((key, image, index[wnid]))
    return found


def _labels(root: Path) -> Callable[[str, int], str]:
    """Name and number of an image → its WordNet id."""
    table = source.file_or_none(root, ("LOC_val_solution.csv",))
    return _kaggle_labels(table) if table else devkit_labels(root)


def _kaggle_labels(path: Path) -> Callable[[str, int], str]:
    rows = csv.DictReader(source.lines(path))
    if not {"ImageId", "PredictionString"} <= set(rows.fieldnames or ()):
        raise UsageError(f"{path} has not the columns ImageId and PredictionString")
    labels = {row["ImageId"]: (row["PredictionString"] or " ").split(" ")[0] for row in rows}

    def label(key: str, number: int) -> str:
        if key not in labels:
            raise UsageError(f"{path} has no line for {key}")
        return labels[key]

    return label


def _validation_shards(root: Path) -> list[Path]:
    shards = sorted(path for path in root.glob("*.tar") if path.name != TAR)
    named = [path for path in shards if "val" in path.name.lower()]
    return named or [path for path in shards if "train" not in path.name.lower()]


def _of_shard(path: Path) -> list[Labelled]:
    images: dict[str, Blob] = {}
    numbers: dict[str, int] = {}
    for blob in of_tar(path):
        key, extension = split(blob.name)
        if extension in IMAGE_TYPES:
            images[key] = blob
        elif extension == "cls":
            numbers[key] = _number(blob)
    if alone := sorted(images.keys() ^ numbers.keys()):
        lacks = ".cls" if alone[0] in images else "image"
        raise UsageError(f"sample {alone[0]} of {path} has no {lacks}")
    return [(key.replace("/", "_"), image, numbers[key]) for key, image in images.items()]


def _number(blob: Blob) -> int:
    text = blob.read().decode("ascii", "replace").strip()
    if not text.isdigit() or int(text) > 999:
        raise UsageError(f"{blob.place} says '{text[:20]}', which is no class from 0 to 999")
    return int(text)
