"""What several commands' arguments have in common: their types, and how texts are read."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from pipelines.run.resources import Resources

Flag = tyro.conf.FlagCreatePairsOff[bool]
# What a job may take of its cluster, alike in every command that has workers: see `resources`.
Workers = Annotated[
    int,
    tyro.conf.arg(
        help="Ray actors; 0 for as many as the nodes have room for, also those that join later."
    ),
]
CpusPerWorker = Annotated[
    float,
    tyro.conf.arg(help="CPUs of each worker; 0 means 4 where nodes have them, 1 beside a GPU."),
]
GpusPerWorker = Annotated[
    float,
    tyro.conf.arg(
        help="GPUs of each worker, also parts of one (0.5 lets two share it); 0 means one where "
        "the model runs on GPUs."
    ),
]
ReadsPerNode = Annotated[
    int,
    tyro.conf.arg(
        help="Files that the workers of a node read from a store at once; 0 sets no limit."
    ),
]
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


def resources(command: Any) -> "Resources":
    """What a command's flags say of its workers; UsageError for what no cluster can give."""
    from pipelines.run.resources import Resources

    return Resources(
        command.workers, command.cpus_per_worker, command.gpus_per_worker, command.reads_per_node
    )
