"""Bytes that lie in a file: the whole of it, or a member of an uncompressed tar."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import UsageError


@dataclass(frozen=True)
class Blob:
    """A stretch of a local file, by which it can be read in any process of this machine."""

    path: str
    name: str
    """The file's own name, or the member's."""
    size: int
    version: int
    """When the file was last written, in nanoseconds."""
    offset: int = 0

    @property
    def extension(self) -> str:
        """Lower case, without the dot; `jpg` for `.JPEG`."""
        found = self.name.rpartition(".")[2].lower()
        return "jpg" if found == "jpeg" else found

    @property
    def place(self) -> str:
        """Where it is, for people."""
        inside = os.path.basename(self.path) != os.path.basename(self.name)
        return f"{self.name} of {self.path}" if inside else self.path

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """What changes when the bytes do, wherever the file lies."""
        return self.name, self.size, self.version, self.offset

    def read(self) -> bytes:
        """The bytes. Raises UsageError if the file cannot be read or has become shorter."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error
        if len(data) != self.size:
            raise UsageError(f"{self.path} has become shorter while it was read")
        return data


def of_file(path: Path) -> Blob:
    """The whole of a file that exists."""
    found = path.stat()
    return Blob(str(path), path.name, found.st_size, found.st_mtime_ns)


def of_tar(path: Path) -> Iterator[Blob]:
    """The files in a tar, in its order; raises UsageError if it is damaged or compressed."""
    version = path.stat().st_mtime_ns
    try:
        with tarfile.open(path, "r:") as packed:
            for member in packed:
                if member.isfile():
                    data = member.offset_data
                    yield Blob(str(path), member.name, member.size, version, data)
    except (tarfile.TarError, EOFError) as error:
        raise UsageError(
            f"{path} is no undamaged, uncompressed tar ({error}); download it again"
        ) from error
