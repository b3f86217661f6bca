"""One folder, one configuration: what a run was made with, held against what is asked now."""

from collections.abc import Collection
from typing import Any

from pipelines.errors import UsageError


def same_configuration(
    url: str, there: dict[str, Any], wanted: dict[str, Any], free: Collection[str] = ()
) -> None:
    """UsageError, with every difference but those in `free`, where the two differ."""
    different = [
        f"{name} was {_brief(there.get(name))} and is now {_brief(value)}"
        for name, value in wanted.items()
        if there.get(name) != value and name not in free
    ]
    if different:
        raise UsageError(
            f"{url} was made with another configuration: {'; '.join(different)}; choose another "
            "--out"
        )


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
