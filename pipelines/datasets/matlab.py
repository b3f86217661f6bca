"""Structures in MATLAB files, as devkits have them."""

import io
from pathlib import Path

import numpy as np

from pipelines.errors import UsageError


def structures(data: bytes, variable: str, fields: tuple[str, ...], place: Path) -> np.ndarray:
    """A variable that is an array of structures, as records [n] with at least `fields`.

    Raises UsageError if the file is none of MATLAB's or holds something else.
    """
    found = np.atleast_1d(values(data, variable, place))
    if not found.dtype.names or set(fields) - set(found.dtype.names):
        raise UsageError(f"{place}: '{variable}' has not the fields {', '.join(fields)}")
    return found


def values(data: bytes, variable: str, place: Path) -> np.ndarray:
    """A variable, without its axes of length 1."""
    from scipy.io import loadmat

    try:
        found = loadmat(io.BytesIO(data), squeeze_me=True)
    except Exception as error:  # scipy raises many kinds on damaged files
        raise UsageError(f"{place} is no MATLAB file that can be read: {error}") from error
    if variable not in found:
        raise UsageError(f"{place} has no variable '{variable}'; is it of another dataset?")
    return np.asarray(found[variable])
