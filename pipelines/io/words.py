"""Dictionaries for sparse codes: the scenes' words, the most common English words, or a file."""

from importlib import resources

import fsspec

from pipelines.errors import UsageError


def word_list(name: str) -> list[str]:
    """The words of `scenes`, `common:N` (through wordfreq), or a file with one per line.

    Raises UsageError for a file that cannot be read, an empty list, or wordfreq missing.
    """
    if name == "scenes":
        text = (resources.files("pipelines.tiny") / "words.txt").read_text()
    elif name.startswith("common:"):
        text = "\n".join(_common(name.removeprefix("common:")))
    else:
        text = read_text(name, "word list")
    words = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if len(words) < 2:
        raise UsageError(f"the word list {name} holds fewer than two words")
    return words


def _common(count: str) -> list[str]:
    try:
        import wordfreq
    except ImportError as error:
        raise UsageError("common words need wordfreq: pip install 'nhd[words]'") from error
    if not count.isdigit():
        raise UsageError(f"'common:{count}' should be common:N, e.g. common:30000")
    found: list[str] = wordfreq.top_n_list("en", int(count))
    return found


def read_text(path: str, what: str) -> str:
    """The text of a file at a path or URL; UsageError, which calls it `what`, if it has none."""
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            text: str = file.read()
    except (OSError, ValueError) as error:
        raise UsageError(f"the {what} {path} cannot be read: {error}") from error
    return text
