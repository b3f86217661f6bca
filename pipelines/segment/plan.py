"""What the user asks of a segmentation, parsed; `nhd segment --help` explains each of it."""

from dataclasses import dataclass, field
from typing import Literal

from pipelines.errors import UsageError
from pipelines.model_spec import ModelSpec
from pipelines.run.lease import LEASE
from pipelines.run.resources import OPEN, Resources
from pipelines.segment.masks import IGNORE
from pipelines.segment.options import CHOOSES, Setting, View

Switch = Literal["on", "off", "both"]
UNIT = ("product", "neurons")  # the methods that unit tokens count for


@dataclass(frozen=True)
class SegmentPlan:
    """One segmentation."""

    data: str
    out: str
    classes: str
    settings: tuple[Setting, ...]
    masks: str | None = None
    view: View = field(default_factory=View)
    model: ModelSpec = field(default_factory=ModelSpec)
    ignore: int = IGNORE
    maps: bool = False
    overlays: int = 8
    device: str = "auto"
    resources: Resources = OPEN
    in_process: bool = False
    lease: float = LEASE


def settings_of(
    methods: tuple[str, ...],
    top_pairs: tuple[str, ...],
    repair: Switch = "on",
    unit_tokens: Switch = "off",
) -> tuple[Setting, ...]:
    """Every method at every k, once where k counts for nothing, and so for both switches.

    Raises UsageError for unknown methods and numbers that are none; `paper` is 13.6 % of all.
    """
    states = {"on": (True,), "off": (False,), "both": (True, False)}
    wanted = [_pairs(text) for text in top_pairs]
    found = [
        Setting(method, k, repaired, unit and method in UNIT)  # type: ignore[arg-type] # it checks
        for repaired in states[repair]
        for unit in states[unit_tokens]
        for method in methods
        for k in (wanted if method in CHOOSES else [0])
    ]
    if not found:
        raise UsageError("there is nothing to do: give --methods and --top-pairs")
    return tuple(dict.fromkeys(found))


def _pairs(text: str) -> int:
    if text == "paper":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"'{text}' is no number of pairs: give 64,256 or paper")
    return int(text)
