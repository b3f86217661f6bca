"""Values kept in a temporary file: gone through twice, but held one at a time."""

import pickle
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Spool(Generic[T]):
    """An append-only list on disk, removed at exit; only this process ever reads the pickles."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        self._places: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, value: T) -> T:
        """Keep a value, and hand it back."""
        self._places.append(self._file.seek(0, 2))
        pickle.dump(value, self._file, pickle.HIGHEST_PROTOCOL)
        return value

    def __iter__(self) -> Iterator[T]:
        """All values, in the order in which they came."""
        for place in self._places:
            self._file.seek(place)
            value: T = pickle.load(self._file)
            yield value
