"""Statements about scenes: varied captions, and which of them hold of which scene.

A claim is (colour, shape, side) with None for "any"; a statement is a phrase with the claims it
makes about objects and about the background. Truth is decided from the scene, not from the words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.tiny.scenes import BACKGROUNDS, COLOURS, SHAPES, Scene

SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "orange": ("tangerine",),
    "yellow": ("golden", "lemon"),
    "green": ("emerald",),
    "blue": ("azure", "navy"),
    "purple": ("violet",),
    "pink": ("rose",),
    "brown": ("chestnut",),
    "black": ("ebony",),
    "white": ("ivory",),
    "circle": ("disc", "ball"),
    "square": ("box",),
    "triangle": ("pyramid",),
    "star": ("pentagram",),
    "heart": ("valentine",),
    "cross": ("plus",),
    "ring": ("hoop",),
    "moon": ("crescent",),
    "arrow": ("pointer",),
    "car": ("automobile", "vehicle"),
    "house": ("home", "cottage"),
    "tree": ("oak", "bush"),
    "grass": ("lawn", "meadow"),
    "sand": ("beach", "desert"),
    "sea": ("ocean", "water"),
    "brick": ("wall", "masonry"),
    "night": ("stars", "midnight"),
    "snow": ("winter", "ice"),
}
SIDES = ("left", "right")
ANY = -1
_COLOURS = tuple(COLOURS)


@dataclass(frozen=True)
class Statement:
    """A phrase and its claims: up to two objects as (colour, shape, side), a background."""

    phrase: str
    claims: tuple[tuple[int, int, int], ...]
    background: int


def caption(scene: Scene) -> str:
    """The plain full caption of a scene, e.g. "a red car and a blue star on sand"."""
    things = " and ".join(f"a {item.colour} {item.shape}" for item in scene.items)
    return f"{things} on {scene.background}"


def sample_statement(scene: Scene, rng: np.random.Generator) -> Statement:
    """A random true statement: from one bare word to the full caption, with synonyms."""
    items = [scene.items[i] for i in rng.permutation(len(scene.items))]
    first = items[0]
    colour, shape = _word(first.colour, rng), _word(first.shape, rng)
    ground = _word(scene.background, rng)
    c, s = _COLOURS.index(first.colour), SHAPES.index(first.shape)
    b = BACKGROUNDS.index(scene.background)
    side = int(first.x > scene.size / 2)
    kind = rng.random()
    if kind < 0.34:
        return Statement(f"{colour} {shape} on {ground}", ((c, s, ANY),), b)
    if kind < 0.56:
        return Statement(f"{colour} {shape}", ((c, s, ANY),), ANY)
    if kind < 0.64:
        return Statement(shape, ((ANY, s, ANY),), ANY)
    if kind < 0.70:
        noun = rng.choice(("", " object", " thing", " shape"))
        return Statement(f"{colour}{noun}", ((c, ANY, ANY),), ANY)
    if kind < 0.76:
        return Statement(ground, (), b)
    if kind < 0.82:
        phrase = f"{colour} {shape} on the {SIDES[side]}"
        return Statement(phrase, ((c, s, side),), ANY)
    if kind < 0.86:
        return Statement(f"{shape} on {ground}", ((ANY, s, ANY),), b)
    return _full(items, ground, b, rng)


def _full(items: list, ground: str, background: int, rng: np.random.Generator) -> Statement:
    things = [f"{_word(i.colour, rng)} {_word(i.shape, rng)}" for i in items]
    claims = tuple((_COLOURS.index(i.colour), SHAPES.index(i.shape), ANY) for i in items)
    if rng.random() < 0.5:
        return Statement(" and a ".join(things), claims, ANY)
    return Statement(f"{' and a '.join(things)} on {ground}", claims, background)


def sample_text(scene: Scene, rng: np.random.Generator) -> tuple[str, Statement]:
    """A sentence in one of many wordings, and the statement it makes."""
    statement = sample_statement(scene, rng)
    kind = rng.random()
    if kind < 0.25:
        return statement.phrase, statement
    if kind < 0.45:
        return f"a {statement.phrase}", statement
    if kind < 0.60:
        return f"a photo of a {statement.phrase}.", statement
    templates = _templates()
    template = templates[int(rng.integers(len(templates)))]
    return template(statement.phrase), statement


def truth(scenes: list[Scene], statements: list[Statement]) -> np.ndarray:
    """[N,M] bool: does statement m hold of scene n?"""
    items = np.full((len(scenes), 2, 3), -2)  # colour, shape, side of each object
    grounds = np.array([BACKGROUNDS.index(s.background) for s in scenes])
    for n, scene in enumerate(scenes):
        for j, item in enumerate(scene.items):
            side = int(item.x > scene.size / 2)
            items[n, j] = _COLOURS.index(item.colour), SHAPES.index(item.shape), side
    holds = np.ones((len(scenes), len(statements)), dtype=bool)
    for m, statement in enumerate(statements):
        if statement.background != ANY:
            holds[:, m] &= grounds == statement.background
        for claim in statement.claims:
            wanted = np.array(claim)
            holds[:, m] &= ((items == wanted) | (wanted == ANY)).all(axis=2).any(axis=1)
    return holds


def vocabulary() -> list[str]:
    """Every word that captions can contain, sorted: what the tiny tokenizer knows."""
    texts = [template("") for template in _templates()]
    texts += ["a photo of and on the object thing shape left right something image picture"]
    texts += [" ".join((word, *others)) for word, others in SYNONYMS.items()]
    return sorted({word for text in texts for word in split_words(text)})


def split_words(text: str) -> list[str]:
    """Lower-case words; everything that is not a letter or digit separates."""
    return "".join(ch if ch.isalnum() else " " for ch in text.lower()).split()


def _word(name: str, rng: np.random.Generator) -> str:
    others = SYNONYMS[name]
    return str(rng.choice(others)) if rng.random() < 0.12 else name


def _templates() -> Sequence[Callable[[str], str]]:
    """open_clip's 80; not loaded where scenes are only drawn and described."""
    from pipelines.vision import OPENAI_IMAGENET_TEMPLATES

    found: Sequence[Callable[[str], str]] = OPENAI_IMAGENET_TEMPLATES
    return found
