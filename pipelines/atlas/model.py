"""What the pages of an atlas show, before any of it is markup; nothing here knows of HTML."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tile:
    """One exemplar."""

    shard: str
    key: str
    value: float
    """Of a pair s·‖u‖, signed; of a neuron the norm of its contribution."""
    image: str | None
    """Its file in `images/`, named by the SHA-256 of its bytes; None if it could not be read."""
    heat: bytes | None
    """[grid²] row by row: how much each place adds, 255 for the strongest place of all tiles on
    its scale, which are both sides of a pair, a whole neuron, or a neuron's heads; what adds
    against the total counts as 0."""
    mean_token: float | None
    """What token 0 adds, which has no place; with what the places add it comes to `value`."""


@dataclass(frozen=True)
class Neighbour:
    """A pair of similar direction."""

    pair: int
    cosine: float
    """Of the signed directions."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class Histogram:
    """Coefficients s·‖u‖ of a pair over one run."""

    run: str
    """The run's short name, as `About.runs` has it."""
    counts: tuple[int, ...]
    """Images between `edges`."""
    edges: tuple[float, ...]
    """One more than counts; in units of s·‖u‖."""
    mean: float
    std: float


@dataclass(frozen=True)
class Label:
    """The exact point-biserial correlation with a label: of a pair's s, its sign left out, or of a
    neuron's contribution along its main direction."""

    name: str
    r: float


@dataclass(frozen=True)
class NearNeuron:
    """A neuron of similar main direction."""

    neuron: int
    cosine: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class PairPage:
    """One pair; its page is `pairs/<head>-<neuron>.html`, whatever else the atlas holds."""

    pair: int
    head: int
    neuron: int
    sign: int
    rank: int
    """By importance among all pairs of the run, from 1."""
    words: tuple[str, ...]
    code: tuple[tuple[str, float], ...]
    """Words and coefficients of its sparse code, in order of selection."""
    importance: float
    mean: float
    """Of s; times direction_norm that of the coefficient."""
    std: float
    direction_norm: float
    inertia: float | None
    clarity: float | None
    polysemanticity: float | None
    share: float | None
    """Its head's part of the variance of its neuron's contribution."""
    follows: tuple[str, float] | None
    """The concept of the run whose similarity its s follows most closely, and r, as of labels."""
    labels: tuple[Label, ...]
    """All labels of the run whose r is known, strongest first."""
    largest: tuple[Tile, ...]
    """The images of its largest coefficients in the direction of its sign: what words describe."""
    smallest: tuple[Tile, ...]
    """Those of the other side."""
    neighbours: tuple[Neighbour, ...]
    histograms: tuple[Histogram, ...]
    """Of the run, then of the one beside it, over the same edges."""


@dataclass(frozen=True)
class HeadPart:
    """One head of a neuron."""

    pair: int
    head: int
    share: float
    """Of the variance of the neuron's contribution."""
    words: tuple[str, ...]
    sign: int
    tiles: tuple[Tile, ...]
    """Of the strongest heads; empty for others."""
    labels: tuple[Label, ...] = ()
    """Those that its s goes with most, strongest first."""


@dataclass(frozen=True)
class NeuronPage:
    """One neuron; its page is `neurons/<neuron>.html`."""

    neuron: int
    rank: int
    words: tuple[str, ...]
    importance: float
    """The sum over its heads' importance."""
    explained: float | None
    """The part of the variance that the first component explains."""
    inertia: float | None
    clarity: float | None
    polysemanticity: float | None
    heads: tuple[HeadPart, ...]
    """All of them, the largest share first."""
    tiles: tuple[Tile, ...]
    """Exemplars of the whole neuron."""
    labels: tuple[Label, ...] = ()
    """All labels of the run whose r is known, strongest first; plus means more of the words."""
    neighbours: tuple[NearNeuron, ...] = ()


@dataclass(frozen=True)
class About:
    """What the front page says of the atlas, and its provenance."""

    runs: tuple[str, ...]
    """Short names: of the run, then of the one beside it."""
    images: tuple[int, ...]
    """How many each run has."""
    heads: int
    neurons: int
    grid: int
    """Side of the heat maps, in places."""
    labels: tuple[str, ...]
    concepts: tuple[str, ...]
    missing: int
    """Tiles whose image could not be read again."""
    provenance: dict[str, Any]
    """run, model, weights_sha256, preprocess_id, words, atoms, code_version; no time of day, so
    that the same atlas always comes to the same bytes."""
