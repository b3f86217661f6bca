"""The folder of a series of audits: what is where, the audits' numbers, and their verdicts."""

import json
from dataclasses import dataclass
from typing import Any

from pipelines.io.files import atomic_write
from pipelines.io.store import Run

SCHEMA_VERSION = 1
Verdict = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """A folder at a local path or any fsspec URL; holds no state."""

    url: str

    @property
    def folder(self) -> Run:
        """The same, to be read and locked."""
        return Run(self.url)

    def at(self, *parts: str) -> str:
        """The URL of something inside."""
        return self.folder.at(*parts)

    def audit(self, name: str, *parts: str) -> str:
        """The URL of something of one audit."""
        return self.at("audits", name, *parts)

    def load(self, *parts: str) -> Any:
        """A JSON file; None where there is none."""
        try:
            return json.loads(self.folder.read(*parts))
        except FileNotFoundError:
            return None

    def save(self, value: Any, *parts: str) -> None:
        """Write a JSON file, unless that is what it holds."""
        self.put((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(), *parts)

    def put(self, data: bytes, *parts: str) -> None:
        """Write a file, unless that is what it holds."""
        try:
            if self.folder.read(*parts) == data:
                return
        except FileNotFoundError:
            pass
        atomic_write(self.at(*parts), data)

    def numbers(self) -> dict[str, int]:
        """Name → number of every audit, in order of first start."""
        found: dict[str, int] = (self.load("series.json") or {}).get("audits", {})
        return found

    def number_of(self, name: str) -> int:
        """The number that an audit has, or would get."""
        numbers = self.numbers()
        return numbers.get(name, len(numbers) + 1)

    def register(self, title: str, name: str) -> int:
        """Give the audit its number, if it has none yet."""
        numbers = self.numbers() | {name: self.number_of(name)}
        value = {"schema_version": SCHEMA_VERSION, "audit": title, "audits": numbers}
        self.save(value, "series.json")
        return numbers[name]

    def verdict(self, name: str) -> Verdict | None:
        """The verdict of an audit, if it has come to one."""
        found: Verdict | None = self.load("audits", name, "verdict.json")
        return found

    def verdicts(self, before: int | None = None) -> list[Verdict]:
        """All verdicts in order of number, or those of smaller numbers than `before`."""
        numbers = sorted(self.numbers().items(), key=lambda entry: entry[1])
        names = [name for name, number in numbers if before is None or number < before]
        return [found for name in names if (found := self.verdict(name)) is not None]
