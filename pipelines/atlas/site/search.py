"""The search's index as scripts: a page opened from the file system may not fetch() anything.

Every term is written once and units refer to it by number, so thousands of units stay small.
Pictures are in a file of their own; both are loaded when somebody begins to search.
"""

import json
from collections.abc import Iterable
from typing import Any

from pipelines.atlas.site.contents import Contents
from pipelines.atlas.site.rows import PairRow


class Table:
    """Texts, each once, by number."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """The numbers of these texts."""
        return [self.texts.setdefault(text, len(self.texts)) for text in texts]


def index(contents: Contents) -> str:
    """Terms, and for each pair head, neuron and the terms of its words, code and names; for each
    neuron those of its words and names."""
    terms = Table()
    pairs = [
        [
            row.head,
            row.neuron,
            terms.numbers(row.words),
            terms.numbers(word for word in row.code if word not in row.words),
            terms.numbers(_names(row)),
        ]
        for row in contents.pairs
    ]
    neurons = [
        [row.neuron, terms.numbers(row.words), terms.numbers(row.labels)]
        for row in contents.neurons
    ]
    topics = [[terms.numbers([topic.name])[0], topic.path] for topic in contents.topics]
    return script(
        "atlasIndex",
        {
            "width": contents.about.neurons,  # a pair's number is head · width + neuron
            "terms": list(terms.texts),
            "pairs": pairs,
            "neurons": neurons,
            "topics": topics,
        },
    )


def _names(row: PairRow) -> list[str]:
    """The concept that a pair follows, not one it runs against, and its labels."""
    follows = [row.follows[0]] if row.follows and row.follows[1] > 0 else []
    return list(dict.fromkeys([*follows, *row.labels]))


def pictures(contents: Contents, most: int = 3) -> str:
    """For the same pairs and neurons the files of their first pictures."""
    files = Table()
    units = {
        kind: [files.numbers(row.thumbs[:most]) for row in rows]
        for kind, rows in (("pairs", contents.pairs), ("neurons", contents.neurons))
    }
    return script("atlasPictures", {"files": list(files.texts), **units})


def script(name: str, value: Any) -> str:
    """A script that sets one global; nothing in the value can end it or be taken for markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return f"window.{name}={text};\n"
