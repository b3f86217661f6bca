"""How a sample's JSON names the class of its image."""

from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Truth:
    """The field of the JSON, and the classes that it may name."""

    field: str
    index: dict[str, int]
    """Name → number."""

    def of(self, fields: dict[str, Any], seen: Counter[str]) -> int | None:
        """The class; None, counted in `seen`, where there is none that is known."""
        value = fields.get(self.field)
        if isinstance(value, str) and value in self.index:
            return self.index[value]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.index):
            return value
        seen["unlabelled" if value is None else "unknown"] += 1
        return None
