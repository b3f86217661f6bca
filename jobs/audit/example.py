"""The example of a configuration that `nhd audit --init` writes."""

from importlib import resources

import fsspec

from pipelines.errors import UsageError
from pipelines.io.files import atomic_write


def example() -> str:
    """The text of the example."""
    return (resources.files("jobs") / "audit" / "example.yaml").read_text("utf-8")


def write_example(file: str) -> None:
    """Write it to a path or URL; UsageError where something is there already."""
    fs, path = fsspec.core.url_to_fs(file)
    if fs.exists(path):
        raise UsageError(f"{file} is there already; choose another name, or move it away")
    import os

    atomic_write(file if "://" in file else os.path.abspath(file), example().encode())
