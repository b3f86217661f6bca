"""A store as DuckDB is to read it: every request waits for a store that is away.

DuckDB asks a file system of fsspec for names, sizes and ranges of bytes, and gives a query up at
the first that fails. Each of these requests may be made again, so each is (`pipelines.io.patience`)
and a long query goes on where it was.
"""

from collections.abc import Callable
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from pipelines.io.patience import patience, patiently, waiting


class Patient(AbstractFileSystem):
    """What another file system has, for reading."""

    cachable = False

    def __init__(self, fs: AbstractFileSystem) -> None:
        super().__init__()
        self.fs, self.protocol = fs, fs.protocol
        self.seconds = patience()  # of the thread that asks: DuckDB reads in threads of its own

    def open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        """The file; it fetches patiently too."""
        file = self._ask(lambda: self.fs.open(path, mode, **how), path)
        if isinstance(file, AbstractBufferedFile):
            fetch = file.cache.fetcher
            file.cache.fetcher = lambda start, end: self._ask(lambda: fetch(start, end), path)
        return file

    def info(self, path: str, **how: Any) -> Any:
        """Size and kind; FileNotFoundError where there is no such file."""
        return self._ask(lambda: self.fs.info(path, **how), path)

    def exists(self, path: str, **how: Any) -> bool:
        """Is it there? A store that is away does not answer no."""
        try:
            self.info(path, **how)
        except FileNotFoundError:
            return False
        return True

    def glob(self, path: str, **how: Any) -> Any:
        """The files that match."""
        return self._ask(lambda: self.fs.glob(path, **how), path)

    def modified(self, path: str) -> Any:
        """When it was written."""
        return self._ask(lambda: self.fs.modified(path), path)

    def _ask(self, do: Callable[[], Any], path: str) -> Any:
        with waiting(self.seconds):
            return patiently(do, str(self.fs.unstrip_protocol(path)))
