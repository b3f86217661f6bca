"""The published datasets that can be read, by name."""

from pathlib import Path

from pipelines.datasets import ade20k, cars, coco_stuff, context, imagenet
from pipelines.datasets.dataset import Dataset, Options, Reader
from pipelines.errors import UsageError

READERS: dict[str, Reader] = {
    "imagenet": imagenet.read,
    "context59": context.read,
    "cars": cars.read,
    "ade20k": ade20k.read,
    "coco_stuff": coco_stuff.read,
}


def read_dataset(name: str, source: str, options: Options) -> Dataset:
    """The dataset `name` from the local folder `source`.

    Raises UsageError for an unknown name, a source that is no folder, and what readers find wrong.
    """
    if name not in READERS:
        raise UsageError(f"there is no dataset '{name}', but {', '.join(READERS)}")
    if options.colours is not None and name != "cars":
        raise UsageError(f"--colours is for the dataset cars; {name} has no colour labels")
    root = Path(source).expanduser()
    if not root.is_dir():
        raise UsageError(
            f"the source {source} is no local folder; give the one where the download was unpacked"
        )
    try:
        return READERS[name](root, options)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
