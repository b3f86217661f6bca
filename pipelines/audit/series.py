"""The folder of a series of audits: what is where, the audits' numbers, and their verdicts."""

import json
import math
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UsageError
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.io.urls import redact

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
        """What a JSON file holds; None where there is none, UsageError where it is damaged."""
        try:
            return parsed(self.folder.read(*parts), self.at(*parts))
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
        """Name → number of every audit, in order of first start.

        Raises UsageError where audits are there, but not the file with their numbers: numbers
        given anew would spend what is spent.
        """
        kept = self.load("series.json")
        if kept is None and (there := self.folder.names("audits")):
            some = ", ".join(there[:3] + ["..."] * (len(there) > 3))
            raise UsageError(
                f"{redact(self.url)} holds audits ({some}), but not the series.json with their "
                "numbers; restore it, or begin a series in another 'out'"
            )
        found: dict[str, int] = (kept or {}).get("audits", {})
        return found

    def spent(self, besides: str) -> float:
        """The alphas of all audits so far, but not of the one of that name."""
        notes = (self.load("audits", name, "audit.json") for name in {*self.numbers()} - {besides})
        return math.fsum(note["alpha"] for note in notes if note is not None)

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


def parsed(data: bytes, url: str) -> Any:
    """What JSON holds; UsageError, with the file it is from, where it is none."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise UsageError(
            f"{redact(url)} is damaged (no JSON: {error}); restore it, or delete it and run the "
            "audit it belongs to again"
        ) from error
