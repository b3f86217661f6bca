"""The folder that an export is written into, which holds nothing else."""

from collections.abc import Iterable

import fsspec

from pipelines.errors import UsageError
from pipelines.io.files import PARTIAL
from pipelines.io.urls import redact


def names_in(out: str) -> set[str]:
    """Paths of all files under `out`, relative to it, without half-written ones."""
    fs, root = fsspec.core.url_to_fs(out.rstrip("/"))
    fs.invalidate_cache()
    found = (path[len(root) :].lstrip("/") for path in fs.find(root))
    return {path for path in found if PARTIAL not in path}


def refuse_others(out: str, wanted: Iterable[str]) -> None:
    """Raises UsageError where `out` has files that are not `wanted` (paths relative to it)."""
    others = sorted(names_in(out) - {*wanted})
    if others:
        raise UsageError(
            f"{redact(out)} holds {len(others)} file{'s' * (len(others) > 1)} of something else, "
            f"such as {others[0]}; "
            "give --out a folder that is new or empty, or holds this export"
        )
