"""Stanford Cars, 196 makes, models and years: 8,144 images for training, 8,041 for testing.

    cars_train/00001.jpg                     or cars_train/cars_train/, as in Kaggle's copies
    devkit/cars_train_annos.mat              boxes, classes from 1, file names
    devkit/cars_meta.mat                     the classes' names
    cars_test_annos_withlabels.mat           for the test split; also inside devkit/
    refined_train.csv                        colours of the training images (car_colours.py)

under the source itself, its folder `stanford_cars/` (torchvision's and the paper's code's), or
`car_devkit/` for the devkit. Sources: torchvision.datasets.StanfordCars; README and cars_dataset.py
of the code published with arXiv 2509.19943.
"""

from pathlib import Path
from typing import Any

from pipelines.datasets import source
from pipelines.datasets.car_colours import COLOURS, read_colours
from pipelines.datasets.car_names import TYPES, parts
from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.item import Item
from pipelines.datasets.matlab import structures, values
from pipelines.errors import UsageError
from pipelines.io.classes import Classes

PUBLISHED = {"train": 8_144, "test": 8_041}
DEVKIT = "car_devkit.tgz"
FOLDERS = ("devkit", "car_devkit/devkit", "car_devkit")
FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")


def read(root: Path, options: Options) -> Dataset:
    """A split of the images under `root`; training images without a colour are left out."""
    split = source.choose_split(options.split, tuple(PUBLISHED), "Stanford Cars")
    top = root / "stanford_cars" if (root / "stanford_cars").is_dir() else root
    names = _class_names(top)
    colours = read_colours(root, options.colours, split)
    download = f"cars_{split}.tgz"
    folder = source.folder(top, [f"cars_{split}/cars_{split}", f"cars_{split}"], download)
    images = source.require_images(source.pictures(folder), folder, download)
    items, left_out = [], {}
    for row in _annotations(top, split):
        key = str(row["fname"]).rpartition(".")[0]
        if key not in images:
            raise UsageError(f"{folder} has no {row['fname']}; it comes with {download}")
        fields = _fields(row, names, split)
        if colours is None:
            items.append(Item(key, images[key], fields))
        elif key not in colours:
            left_out[key] = "has no colour label"
        elif colours[key].model != fields["class_index"] + 1:
            left_out[key] = "is another model in the file of colour labels"
        else:
            items.append(Item(key, images[key], fields | _colour(colours[key].colour)))
    if not items:
        raise UsageError(f"no image of {folder} is in the file of colour labels with its model")
    return Dataset(
        "cars",
        split,
        "Stanford Cars" + (" with refined colour labels" if colours is not None else ""),
        "none is published with the images, which come from the web; for research",
        PUBLISHED[split],
        sorted(items, key=lambda item: item.key),
        Classes(names, tuple((name,) for name in names)),
        left_out,
    )


def _class_names(top: Path) -> tuple[str, ...]:
    path = source.file(top, [f"{folder}/cars_meta.mat" for folder in FOLDERS], DEVKIT)
    found = values(path.read_bytes(), "class_names", path)
    return tuple(str(name) for name in found.reshape(-1))


def _annotations(top: Path, split: str) -> Any:
    if split == "train":
        places = [f"{folder}/cars_train_annos.mat" for folder in FOLDERS]
    else:
        name = "cars_test_annos_withlabels.mat"
        places = [name, *(f"{folder}/{name}" for folder in FOLDERS)]
    path = source.file(top, places, DEVKIT)
    return structures(path.read_bytes(), "annotations", FIELDS, path)


def _fields(row: Any, names: tuple[str, ...], split: str) -> dict[str, Any]:
    index = int(row["class"]) - 1
    if not 0 <= index < len(names):
        raise UsageError(f"{row['fname']} has class {index + 1}, but there are {len(names)}")
    make, body, year = parts(names[index])
    return {
        "class": names[index],
        "class_index": index,
        "make": make,
        "year": year,
        "type": body,
        **{name: name == body for name in TYPES},
        "box": [int(row[name]) for name in FIELDS[:4]],
        "split": split,
    }


def _colour(colour: str) -> dict[str, Any]:
    return {"colour": colour, **{name: name == colour for name in COLOURS}}
