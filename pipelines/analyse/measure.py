"""Which measures two sides share, and which of them decides on concepts."""

from typing import Any, Literal, cast

from pipelines.errors import UsageError
from pipelines.io.rows import GROUNDED, measures

Measure = Literal["grounded", "similarity", "score", "share"]
Asked = Literal["auto", "grounded", "similarity", "score", "share"]
ALWAYS = ("similarity",)


def measures_of(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, ...]:
    """The measures that mean the same in two runs, from their run.json.

    A lens chooses the pairs that make up a share and a score, and centres the score; where only
    one run has a lens, or each another, nothing but the similarity is left.
    """
    lens = one.get("lens")
    return measures(lens is not None) if lens == other.get("lens") else ALWAYS


def decided(asked: Asked, shared: tuple[str, ...]) -> tuple[Measure, str]:
    """The measure that decides, and why it does, in words that follow "because".

    Raises UsageError where the sides do not share what was asked for.
    """
    if asked == "auto":
        best = GROUNDED if GROUNDED in shared else "similarity"
        return cast(Measure, best), _because(shared)
    if asked not in shared:
        raise UsageError(f"--measure {asked} cannot be compared: {_because(shared)}")
    return cast(Measure, asked), "it was asked for"


def balanced_by(decides: str, shared: tuple[str, ...]) -> tuple[str, ...]:
    """The measures by which concepts are balanced when changes are told apart.

    Grounded scores by themselves: beside them the other measures only cost images, since weights
    that balance more are less even. In 70 planted shifts 133 of 140 causes were found so, and 125
    with all four; no wrong one was named in either way.
    """
    return (GROUNDED,) if decides == GROUNDED else shared


def _because(shared: tuple[str, ...]) -> str:
    if GROUNDED in shared:
        return "both sides were scored through the same lens"
    if shared == ALWAYS:
        return (
            "the sides were not scored through the same lens, so only similarity means the same "
            "on both"
        )
    return "neither side was scored through a lens"
