"""Rows of text as columns that line up, safe to print whatever the texts are.

Widths are those of a terminal: East Asian wide characters take two places, combining marks none.
Control characters become spaces, so that no concept, word or key can steer the terminal.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence

WIDTH = 96
"""Characters of a line where the terminal does not say."""
GAP = "  "
SPACES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def aligned(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """One line per row; the columns whose numbers are in `right` end flush, the others start so.

    All rows have as many cells as the first; lines have no spaces at their end.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return [
        GAP.join(_cell(text, widths[i], i in right) for i, text in enumerate(row)).rstrip()
        for row in cells
    ]


def noted(notes: Iterable[tuple[str, str]], wide: int = WIDTH) -> list[str]:
    """A name and a remark per note, whose further lines begin below the first."""
    notes = [note for note in notes if note[1]]
    room = max((width(name) for name, _ in notes), default=0) + len(GAP)
    lines = []
    for name, text in notes:
        first, *more = wrapped(text, wide - room)
        lines += [name.ljust(room) + first, *(" " * room + line for line in more)]
    return lines


def wrapped(text: str, wide: int) -> list[str]:
    """The text in lines of so many places, at least one; a longer word is shortened."""
    lines = [""]
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer) <= wide:
            lines[-1] = longer
        else:
            lines.append(shortened(word, wide))
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def plain(text: str) -> str:
    """The text on one line, without characters that a terminal would act on."""
    return "".join(" " if unicodedata.category(c) in SPACES else c for c in text)


def width(text: str) -> int:
    """How many places of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shortened(text: str, most: int) -> str:
    """The text in at most so many places, with an ellipsis where something is left out."""
    text = plain(text)
    if width(text) <= most:
        return text
    while text and width(text) >= most:
        text = text[:-1]
    return text.rstrip(" ,…") + "…"


def first_words(words: Sequence[str], most: int) -> str:
    """As many whole words as fit into so many places, at least one."""
    kept = [*words[:1]]
    for word in words[1:]:
        if width(plain(", ".join([*kept, word]))) > most:
            break
        kept.append(word)
    return shortened(", ".join(kept), most)


def some(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(plain, names[:most])) + more


def _cell(text: str, wide: int, right: bool) -> str:
    pad = " " * (wide - width(text))
    return pad + text if right else text + pad
