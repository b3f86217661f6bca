"""What a submitted command names that is here: small files go along, places become absolute."""

import dataclasses
import os
import re
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import UsageError

LIMIT = 10 * 2**20  # bytes, all files together
FOLDER = "sent"  # of the job's working directory, where the files are
TEXTS = {"concepts", "words", "classes", "colours", "recipe"}
"""Flags and positionals that may name a file to be read; the file is sent."""
PATTERNS = {"data", "segmentation"}
"""Names with commas between them, or @file, which is sent."""
PLACES = {
    "out", "run", "baseline", "current", "report", "evaluation", "cases", "series", "beside",
    "lens", "checkpoint", "source", "masks", "json",
}  # fmt: skip
"""Folders and large files: they stay where they are, and nodes must see them there."""
POSITIONALS = {"recipe"}
MEANT = re.compile(r"(?![/~])\S+\.(?:txt|csv|tsv|json|ya?ml)")
"""What can be nothing but a file here, though it is not there."""


@dataclass
class Sent:
    """A command as nodes can run it, with what it needs from here."""

    command: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    """Path below the job's working directory → content."""
    origins: dict[str, str] = field(default_factory=dict)
    """The same path → the file here."""
    shared: list[str] = field(default_factory=list)
    """Absolute paths that nodes must share."""

    def file(self, path: str, content: bytes | None = None) -> str:
        """Take a file along, with another content if one is given; its name over there."""
        content = _read(path) if content is None else content
        base = os.path.basename(path)
        names = (f"{FOLDER}/{base}", *(f"{FOLDER}/{i}-{base}" for i in range(2, 100)))
        name = next(name for name in names if self.files.get(name, content) == content)
        self.files[name], self.origins[name] = content, path
        if sum(map(len, self.files.values())) > LIMIT:
            raise UsageError(
                f"{path} makes more than {LIMIT >> 20} MiB to be sent with the job; put it where "
                "the nodes can read it and give its URL"
            )
        return name

    def place(self, path: str) -> str:
        """A place as nodes must see it."""
        if _is_url(path):
            return path
        path = os.path.abspath(os.path.expanduser(path))
        if path not in self.shared:
            self.shared.append(path)
        return path

    def pattern(self, text: str) -> str:
        """The same for a pattern of shards, or a list of them in a file."""
        if text.startswith("@"):
            if _is_url(text[1:]):
                return text
            lines = _read(text[1:]).decode(errors="replace").splitlines()
            named = [line if _no_path(line) else self.place(line.strip()) for line in lines]
            return "@" + self.file(text[1:], "".join(f"{line}\n" for line in named).encode())
        parts = re.split(r",(?![^{]*\})", text)
        return ",".join(self.place(part.strip()) for part in parts if part.strip())


def sent(command: tuple[str, ...], parsed: Any) -> Sent:
    """What to send for a command, `parsed` as the dataclass of its arguments.

    Raises UsageError for what cannot be sent.
    """
    found = Sent(list(command))
    for one in dataclasses.fields(parsed):
        value = getattr(parsed, one.name)
        if isinstance(value, str) and value:
            _give(found, one.name, value, _moved(found, parsed, one.name, value))
    return found


def _moved(found: Sent, parsed: Any, name: str, value: str) -> str:
    """A value as the nodes must be given it."""
    if name == "config" and not _is_url(value):
        from jobs.audit.written import sendable

        return sendable(found, parsed, value)
    if name in PATTERNS:
        return found.pattern(value)
    if name in PLACES:
        return found.place(value)
    if name in TEXTS and not _is_url(value) and (os.path.isfile(value) or MEANT.fullmatch(value)):
        return found.file(value)
    return value


def _give(found: Sent, name: str, before: str, after: str) -> None:
    """Put a value in the place of another, be it a flag's, a positional, or a default."""
    if before == after:
        return
    words, given = found.command, False
    flag = "--" + name.replace("_", "-")
    for i, word in enumerate(words):
        spelled, equals, _ = word.partition("=")
        if spelled.replace("_", "-") != flag:
            continue
        given = True
        if equals:
            words[i] = f"{spelled}={after}"
        else:
            words[i + 1] = after
    if not given and name in POSITIONALS:
        words[words.index(before, 1)] = after
    elif not given:
        words += [flag, after]


def _is_url(text: str) -> bool:
    return "://" in text or "::" in text


def _no_path(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#") or _is_url(line)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
