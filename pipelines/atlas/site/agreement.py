"""Whether what a pair's words name is what its images show, as far as the labels can tell.

Words are read off the direction that a pair adds to the embedding; images are chosen by how much of
it there is. Nothing makes the two agree, and where the labels tell them apart a reader should know.
"""

import math
import re
from typing import NamedTuple

from pipelines.atlas.model import Label, PairPage

APART = 0.2
ERRORS = 4
"""An r of n images is uncertain by about 1/√n: two are told apart from so many times that on, and
from APART on in any case."""


class Clash(NamedTuple):
    """Two labels, their r oriented: plus means more of the words."""

    shown: Label
    """The one that goes with the pair most, which none of its words names."""
    named: Label
    """Of those that its words name the one that goes with it most."""


def clash(page: PairPage, images: int) -> Clash | None:
    """What words name and images show, where those are clearly not the same; else None."""
    labels = sorted(
        (Label(label.name, page.sign * label.r) for label in page.labels), key=lambda one: -one.r
    )
    named = [label for label in labels if names(page.words, label.name)]
    if not named or named[0] is labels[0] or labels[0].r < APART:
        return None
    apart = labels[0].r - named[0].r > max(APART, ERRORS / math.sqrt(max(images, 1)))
    return Clash(labels[0], named[0]) if apart else None


def names(words: tuple[str, ...], name: str) -> bool:
    """Does one of the words hold this name, from one end of a word to another?"""
    whole = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return any(whole.search(word) for word in words)
