"""What several commands' arguments have in common: their types, and how texts are read."""

import os
from collections.abc import Callable
from typing import Any, Literal

import tyro

Flag = tyro.conf.FlagCreatePairsOff[bool]
Dtype = Literal["float32", "bfloat16", "float16"]


def names(text: str) -> tuple[str, ...]:
    """`"a, b"` → ("a", "b")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def texts(text: str) -> tuple[str, ...]:
    """Concepts: a comma-separated list, or the lines of a file of that name."""
    if not os.path.isfile(text):
        return names(text)
    with open(text, encoding="utf-8") as file:
        return tuple(line.strip() for line in file if line.strip())


def usage(parse: Callable[[str], Any], text: str) -> Any:
    """Turn a ValueError of parsing into a UsageError."""
    from pipelines.errors import UsageError

    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
