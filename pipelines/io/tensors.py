"""Some of the tensors of a safetensors file, without reading the rest."""

import json
from collections.abc import Callable

from fsspec import AbstractFileSystem
from safetensors.torch import load
from torch import Tensor


def some_tensors(
    fs: AbstractFileSystem, path: str, wanted: Callable[[str], bool]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The file's metadata, and the tensors whose names are wanted.

    What is read is put together as a smaller file, which safetensors then checks and loads.
    """
    length = int.from_bytes(fs.cat_file(path, start=0, end=8), "little")
    header = json.loads(fs.cat_file(path, start=8, end=8 + length))
    metadata: dict[str, str] = header.pop("__metadata__", {})
    places = {name: place for name, place in header.items() if wanted(name)}
    starts, ends = ([8 + length + p["data_offsets"][i] for p in places.values()] for i in (0, 1))
    parts = fs.cat_ranges([path] * len(places), starts, ends, on_error="raise")
    end = 0
    for place, part in zip(places.values(), parts, strict=True):
        place["data_offsets"] = [end, end := end + len(part)]
    head = json.dumps(places).encode()
    return metadata, load(b"".join([len(head).to_bytes(8, "little"), head, *parts]))
