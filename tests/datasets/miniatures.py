"""Miniatures of published datasets, in exactly the layouts in which these are published."""

import csv
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from pipelines.io import shards
from pipelines.io.shards import Sample

SIZE = (48, 32)  # width, height


def jpeg(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of noise: no two seeds give the same bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def palette_png(path: Path, values: np.ndarray) -> None:
    """A mask as an indexed PNG with a palette of colours, as VOC's are."""
    image = Image.fromarray(values.astype(np.uint8)).convert("L")
    image = image.copy()
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert image.mode == "P"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def grey_png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def mask_values(seed: int, values: Iterable[int]) -> np.ndarray:
    """A mask [H,W] in which each of `values` occurs."""
    values = list(values)
    found = np.random.default_rng(seed).choice(values, (SIZE[1], SIZE[0]))
    found.flat[: len(values)] = values
    return found


def samples(out: Path) -> list[Sample]:
    """All samples of a prepared folder, shard by shard."""
    found = [s for path in sorted(out.glob("*.tar")) for s in shards.samples(str(path))]
    assert all(isinstance(s, Sample) for s in found)
    return found  # type: ignore[return-value]


def masks(out: Path) -> dict[str, np.ndarray]:
    """Key → mask [H,W] of a prepared folder."""
    found = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as packed:
            for member in packed:
                if member.name.endswith(".mask.png"):
                    image = Image.open(io.BytesIO(packed.extractfile(member).read()))  # type: ignore[union-attr]
                    assert image.mode == "L"
                    found[member.name.removesuffix(".mask.png")] = np.asarray(image)
    return found


def pack(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    """A tar of name → bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))


def meta_mat(wnids: list[str]) -> bytes:
    """The devkit's meta.mat: ids 1, 2, ... for `wnids` in this order, then two inner nodes."""
    names = (
        "ILSVRC2012_ID", "WNID", "words", "gloss",
        "num_children", "children", "wordnet_height", "num_train_images",
    )  # fmt: skip
    leaves = [(i + 1, w, f"word {w}", "a thing", 0, 0, 0, 1300) for i, w in enumerate(wnids)]
    inner = [
        (len(wnids) + i, f"n9999999{i}", "inner", "many things", 2, [1, 2], 3, 0) for i in (1, 2)
    ]
    synsets = np.empty((len(wnids) + 2, 1), [(name, object) for name in names])
    for i, row in enumerate(leaves + inner):
        synsets[i, 0] = row
    return mat(synsets=synsets)


def mat(**variables: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def car_annotations(rows: list[tuple[str, int]], labels: bool = True) -> bytes:
    """The devkit's cars_*_annos.mat: file names and classes from 1."""
    names = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", *(["class"] if labels else []), "fname"]
    found = np.empty((1, len(rows)), [(name, object) for name in names])
    for i, (name, number) in enumerate(rows):
        found[0, i] = (3, 4, 40, 30, *([number] if labels else []), name)
    return mat(annotations=found)


def write_csv(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def rle_counts(mask: np.ndarray) -> str:
    """COCO's rleEncode and rleToString, literally, of a boolean mask [H,W]."""
    runs, before, run = [], False, 0
    for pixel in mask.T.reshape(-1).tolist():
        if pixel != before:
            runs.append(run)
            before, run = pixel, 0
        run += 1
    runs.append(run)
    text = ""
    for i, count in enumerate(runs):
        x = count - runs[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def detail_json(images: list[dict[str, object]], segments: list[dict[str, object]]) -> bytes:
    """trainval_merged.json of the detail API."""
    return json.dumps({"images": images, "annos_segmentation": segments}).encode()
