"""Are pairs more monosemantic than the neurons they belong to? Medians, and pair against neuron."""

from collections.abc import Iterator

import pandas as pd
from torch import Tensor

from nhd_ops.polysemanticity import Alikeness, share_below
from pipelines.analyse.alike import Alike

IMPORTANT = 0.2  # of the pairs, by importance
LOWER_IS_BETTER = {"inertia": True, "clarity": False, "polysemanticity": True}


def compared(found: Alike, images_by: str) -> pd.DataFrame:
    """One row per measure and choice of pairs; `images_by` names how exemplars were chosen.

    `better`: the share of pairs that are more monosemantic than their own neuron, all pairs
    weighted equally; `neurons_with_most_better`: the share of neurons of which more than half of
    the pairs are. Pairs of dead neurons count nowhere.
    """
    rows = [
        _row(found, name, chosen, counted, images_by)
        for chosen, counted in _choices(found)
        for name in Alikeness._fields
    ]
    return pd.DataFrame(rows)


def important(found: Alike) -> Tensor:
    """[H,C] bool: the most important pairs of living neurons."""
    count = max(1, round(IMPORTANT * found.importance.numel()))
    floor = found.importance.flatten().topk(count).values[-1]
    return (found.importance >= floor) & found.alive


def _choices(found: Alike) -> Iterator[tuple[str, Tensor]]:
    yield "all", found.alive[None].expand_as(found.importance)
    yield f"the {100 * IMPORTANT:.0f} % most important", important(found)


def _row(
    found: Alike, name: str, chosen: str, counted: Tensor, images_by: str
) -> dict[str, object]:
    pairs, neurons = getattr(found.pairs, name), getattr(found.neurons, name)
    turn = 1 if LOWER_IS_BETTER[name] else -1
    below = share_below(turn * pairs, turn * neurons, counted)  # [C]
    sizes = counted.sum(0)
    has = sizes > 0
    return {
        "images_by": images_by,
        "measure": name,
        "pairs": chosen,
        "pairs_counted": int(sizes.sum()),
        "neurons_counted": int(has.sum()),
        "median_pairs": float(pairs[counted].median()),
        "median_neurons": float(neurons[has].median()),
        "better": float((below * sizes)[has].sum() / sizes.sum()),
        "neurons_with_most_better": float((below[has] > 0.5).double().mean()),
    }
