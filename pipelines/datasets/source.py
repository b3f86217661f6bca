"""Finding the pieces of a download: what is there, or a sentence that says what is missing."""

import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.blob import Blob
from pipelines.errors import UsageError
from pipelines.io.shards import IMAGE_TYPES


def folder(root: Path, places: Sequence[str], download: str) -> Path:
    """The first of `places` under `root` that is a folder; raises UsageError if none is."""
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise missing(root, places, download)


def file(root: Path, places: Sequence[str], download: str) -> Path:
    """The first of `places` under `root` that is a file; raises UsageError if none is."""
    found = file_or_none(root, places)
    if found is None:
        raise missing(root, places, download)
    return found


def file_or_none(root: Path, places: Sequence[str]) -> Path | None:
    """The first of `places` under `root` that is a file."""
    return next((root / place for place in places if (root / place).is_file()), None)


def missing(root: Path, places: Sequence[str], download: str) -> UsageError:
    """What is said when none of `places` is there."""
    others = f" (nor {', '.join(places[1:])})" if len(places) > 1 else ""
    return UsageError(f"{root} has no {places[0]}{others}; it comes with {download}")


def pictures(place: Path, extensions: Sequence[str] = IMAGE_TYPES) -> dict[str, Blob]:
    """Name without extension → image, of the images right in a folder, in the order of names.

    Hidden files, as macOS leaves them, are no images. Raises UsageError for two of one name.
    """
    found: dict[str, Blob] = {}
    with os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, _, extension = entry.name.rpartition(".")
            if entry.name.startswith(".") or extension.lower() not in extensions:
                continue
            if stem in found:
                raise UsageError(f"{place} has two images of the name {stem}; which one counts?")
            state = entry.stat()
            found[stem] = Blob(entry.path, entry.name, state.st_size, state.st_mtime_ns)
    return found


def require_images(found: dict[str, Blob], place: Path, download: str) -> dict[str, Blob]:
    """`found`; raises UsageError if it is empty."""
    if not found:
        raise UsageError(f"{place} holds no images; they come with {download}")
    return found


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank; raises UsageError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def choose_split(asked: str | None, splits: Sequence[str], name: str) -> str:
    """The split asked for, or the first; raises UsageError for one that the dataset lacks."""
    if asked is None:
        return splits[0]
    if asked not in splits:
        raise UsageError(f"{name} has no split '{asked}', but {', '.join(splits)}")
    return asked
