"""COCO-Stuff (164k): 80 things and 91 kinds of stuff, 5,000 images for validation.

    val2017/000000000139.jpg                        or images/val2017/
    stuffthingmaps/val2017/000000000139.png         or annotations/val2017/, or the archive's own
                                                    name, stuffthingmaps_trainval2017/val2017/

The values of the maps are the ids of labels.txt less one: 0 to 181, of which 11 never occur
because COCO has no masks for these things, and 255 for unlabelled. The 171 others are numbered in
their order, as mmsegmentation does. Maps that its converter has already renumbered
(`..._labelTrainIds.png`) are passed over in favour of the published ones beside them.

Sources: README and labels.txt of nightrome/cocostuff; mmsegmentation's coco_stuff164k converter
and COCOStuffDataset.
"""

from pathlib import Path

from pipelines.datasets import source
from pipelines.datasets.blob import of_file
from pipelines.datasets.coco_names import LABELS, WITHOUT_MASKS, prompt
from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.item import Item
from pipelines.datasets.masks import IGNORE, PngMask, table
from pipelines.io.classes import Classes

MAPS = "stuffthingmaps_trainval2017.zip"
PUBLISHED = {"val": 5_000, "train": 118_287}
NAMES = tuple(name for name in LABELS if name not in WITHOUT_MASKS)


def read(root: Path, options: Options) -> Dataset:
    """A split of the images under `root`."""
    split = source.choose_split(options.split, tuple(PUBLISHED), "COCO-Stuff")
    year = f"{split}2017"
    images = source.folder(root, [year, f"images/{year}"], f"{year}.zip of COCO")
    places = [f"{name}/{year}" for name in _MAP_FOLDERS]
    maps = source.folder(root, places, MAPS)
    found = source.require_images(source.pictures(images), images, f"{year}.zip of COCO")
    values = table({LABELS.index(name): i for i, name in enumerate(NAMES)} | {255: IGNORE})
    items = []
    for key, image in found.items():
        mask = source.file(maps, [f"{key}.png"], MAPS)
        items.append(Item(key, image, {"split": split}, PngMask(of_file(mask), values)))
    return Dataset(
        "coco_stuff",
        split,
        "COCO-Stuff 164k",
        "annotations: CC BY 4.0; images: Flickr's terms of use",
        PUBLISHED[split],
        items,
        Classes(NAMES, tuple((prompt(name),) for name in NAMES)),
    )


_MAP_FOLDERS = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations")
