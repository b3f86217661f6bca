"""Units of work, each done and committed as a whole: a shard, or some files of a local folder."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pipelines.errors import UsageError
from pipelines.io.listing import absolute, expand
from pipelines.io.shards import IMAGE_TYPES, shard_id
from pipelines.io.urls import fingerprints, without_secrets
from pipelines.segment.masks import is_mask, mask_of

FILES = 32  # of a folder that make up a unit


class File(NamedTuple):
    """An image of a folder: its key, its path and that of its mask (or None)."""

    key: str
    image: str
    mask: str | None


@dataclass(frozen=True)
class Unit:
    """A shard at `url`, or `files` of the folder `url`."""

    id: str
    """Also the name of its result."""
    url: str
    source: str
    """Changes when what is read changes."""
    files: tuple[File, ...] = ()
    shown: int = 0
    """Of how many images pictures are kept for the page."""

    @property
    def place(self) -> str:
        """Within which keys are unique: the shard's id, or nothing for a folder."""
        return "" if self.files else self.id


def units_of(data: str, masks: str | None, shown: int) -> tuple[list[Unit], str]:
    """The units of an input, in order, with `shown` pictures spread over them; and what was found.

    Raises UsageError where there is nothing, or a shard is missing.
    """
    folder = absolute(data)
    if os.path.isdir(folder):
        files, found = _files(folder, absolute(masks) if masks else None)
        units = [_chunk(folder, i, files[i : i + FILES]) for i in range(0, len(files), FILES)]
    elif masks:
        raise UsageError("--masks is for a folder of images; shards hold their masks themselves")
    else:
        urls = expand(data)
        found = f"{len(urls)} shards"
        now = fingerprints(urls)
        units = [Unit(shard_id(url), url, _version(now[url])) for url in urls]
    many = len(units)
    return [
        replace(unit, shown=-(-(i + 1) * shown // many) + (-i * shown // many))
        for i, unit in enumerate(units)
    ], found


def _version(found: Any) -> str:
    return f"{found['size']} {found['version']}" if found else ""


def version_now(unit: Unit) -> str:
    """What `source` would be now; raises OSError where that cannot be had."""
    return _stamp(unit.files) if unit.files else _version(fingerprints([unit.url])[unit.url])


def _chunk(folder: str, start: int, files: list[File]) -> Unit:
    keys = hashlib.sha256("\0".join(file.key for file in files).encode(errors="surrogateescape"))
    name = f"files-{start // FILES:06d}-{keys.hexdigest()[:8]}"
    return Unit(name, folder, _stamp(tuple(files)), tuple(files))


def _stamp(files: tuple[File, ...]) -> str:
    """Size and time of writing of all files, in short."""
    paths = [path for file in files for path in (file.image, file.mask) if path]
    seen = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(seen).encode(errors="surrogateescape")).hexdigest()[:16]


def _files(folder: str, masks: str | None) -> tuple[list[File], str]:
    """The images under a folder in order of key, and a sentence about them."""
    members = _members(folder)
    apart = _members(masks) if masks else {}
    files = []
    for key in sorted(members):
        image = next((kind for kind in IMAGE_TYPES if kind in members[key]), None)
        if image is not None:
            _alone(key, members[key], image, masks is not None)
            near = members if masks is None else apart
            could = {k for k in near.get(key, {}) if is_mask(k) and (masks or k != image)}
            files.append(File(key, members[key][image], _mask(key, near, could)))
    if not files:
        raise UsageError(f"no image ({', '.join(IMAGE_TYPES)}) lies in {without_secrets(folder)}")
    masked = [file for file in files if file.mask]
    if masks is None:
        return files, f"{len(files)} images, {len(masked)} with masks"
    if not masked:
        raise UsageError(f"no mask in {masks} has the name of an image in {folder}")
    left, alone = len(files) - len(masked), len(apart) - len(masked)
    said = f"{len(masked)} images with masks"
    said += f"; {left} images without a mask are left out" if left else ""
    return masked, said + (f"; {alone} masks have no image" if alone else "")


def _alone(key: str, kinds: dict[str, str], image: str, masks_apart: bool) -> None:
    """UsageError if a key has a second image; a .png beside another image is its mask."""
    for kind in IMAGE_TYPES:
        if kind in kinds and kind != image and (kind != "png" or masks_apart):
            raise UsageError(f"{kinds[image]} and {kinds[kind]} have the same name; rename one")


def _mask(key: str, near: dict[str, dict[str, str]], could: set[str]) -> str | None:
    try:
        kind = mask_of(could)
    except ValueError as error:
        raise UsageError(f"{key} may have several masks: {error}; call it {key}.mask.png") from None
    return near[key][kind] if kind else None


def _members(folder: str) -> dict[str, dict[str, str]]:
    """Key → extension → path; keys are paths inside the folder up to the extension."""
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is no folder")
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in _walk(folder):
        if not path.isascii() and path != path.encode(errors="replace").decode():
            raise UsageError(f"the name of {path!a} is no UTF-8; rename the file")
        key, extension = os.path.splitext(os.path.relpath(path, folder))
        key, mark, _ = key.partition(".mask") if key.endswith(".mask") else (key, "", "")
        kind = (mark + extension).lstrip(".").lower()
        if kind in found[key]:
            raise UsageError(f"{found[key][kind]} and {path} have the same name; rename one")
        found[key][kind] = path
    return dict(found)


def _walk(folder: str) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(path, name) for name in sorted(names) if name[0] != ".")
