"""Dictionaries for sparse codes: the scenes' words, the most common English words, or a file."""

from importlib import resources

from pipelines.errors import UsageError
from pipelines.io.reading import read_bytes
from pipelines.io.redaction import redact, without_secrets


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
        return read_bytes(path).decode("utf-8")
    except Exception as error:  # stores' own errors are no OSError
        place, why = without_secrets(path), redact(str(error)) or type(error).__name__
        raise UsageError(f"the {what} {place} cannot be read: {why}") from error
