"""How to segment: which maps are combined, and how a scene is looked at."""

from dataclasses import dataclass
from typing import Literal

from pipelines.errors import UsageError

Method = Literal["product", "neurons", "heads", "maskclip", "self_self"]
METHODS: tuple[Method, ...] = ("product", "neurons", "heads", "maskclip", "self_self")
CHOOSES = ("product", "neurons", "heads")
"""The methods for which the number of pairs counts."""


@dataclass(frozen=True)
class Setting:
    """One way to segment."""

    method: Method = "product"
    """The product of neuron and head maps, one of the two, MaskCLIP or self-self attention."""
    top_pairs: int = 0
    """Pairs per class, k; 0 takes the paper's share of all, 13.6 %."""
    sink_repair: bool = True
    """Whether the bottom-right token of every window is replaced by its neighbours' mean."""
    unit_tokens: bool = False
    """Whether the neuron maps are scaled to unit length token by token, so that tokens of different
    windows count the same; not in the paper. Counts for product and neurons only."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"'{self.method}' is no method; there are: {', '.join(METHODS)}")
        if self.top_pairs < 0:
            raise UsageError(f"top_pairs is {self.top_pairs}: give at least 1, or 0 for 13.6 %")


@dataclass(frozen=True)
class View:
    """How a scene is looked at; the same for all settings."""

    short_side: int = 0
    """Resize the scene so that its shorter side has this many pixels (the paper: 512 for windows of
    384); 0 leaves it as it is. Never below the size of a window."""
    stride: float = 0.5
    """From one window to the next, as a part of the window. Finer than the paper's half pays: 0.125
    gives eight readings of most pixels along each side."""
    taper: bool = False
    """Whether windows weigh less towards their edges where they overlap; not in the paper."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the scene is looked at, as multiples of that of `short_side`; logits are
    averaged. The paper looks once."""
    templates: bool = True
    """Whether class texts are averaged over open_clip's 80 templates."""
    windows_at_once: int = 16
    """How many windows the model sees at a time; changes nothing but speed and memory."""

    def __post_init__(self) -> None:
        if not 0 < self.stride <= 1:
            raise UsageError(f"a stride of {self.stride} windows is not above 0 and at most 1")
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise UsageError(f"scales must be one or more positive numbers, not {self.scales}")
        if self.short_side < 0 or self.windows_at_once < 1:
            raise UsageError("the short side must not be negative, and windows_at_once at least 1")
