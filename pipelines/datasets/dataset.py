"""What a reader finds in a published dataset: its samples, which still lie where they lay."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.datasets.item import Item
from pipelines.io.classes import Classes


@dataclass(frozen=True)
class Dataset:
    """A dataset as it was found, in the order of its keys."""

    name: str
    split: str
    title: str
    licence: str
    published: int
    """How many images the split has where it is published."""
    items: list[Item]
    classes: Classes
    left_out: dict[str, str] = field(default_factory=dict)
    """Key → why the image is not among the items."""


@dataclass(frozen=True)
class Options:
    """What a user may choose."""

    split: str | None = None
    """`train`, `val` or `test`; None for the one that the paper takes."""
    colours: str | None = None
    """Stanford Cars only: the file of colour labels, or `none`."""


Reader = Callable[[Path, Options], Dataset]
"""Raises UsageError, with the file that is missing or malformed and the download it comes with."""
