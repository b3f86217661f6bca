"""Are pairs more monosemantic than the neurons they belong to? Medians, and pair against neuron."""

import pandas as pd
import torch
from torch import Tensor

from nhd_ops.polysemanticity import Alikeness, share_below
from pipelines.analyse.alike import Alike

IMPORTANT = 0.2  # of the pairs, by importance
QUARTILES = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
LOWER_IS_BETTER = {"inertia": True, "clarity": False, "polysemanticity": True}


def compared(found: Alike, images_by: str) -> pd.DataFrame:
    """One row per measure and choice of units; `images_by` names how exemplars were chosen.

    `better`: the share of the chosen pairs that are more monosemantic than their own neuron, all
    weighted equally; `per_neuron`: quartiles of that share over the neurons that have a chosen
    pair. Dead neurons and their pairs count nowhere.
    """
    every = found.alive[None].expand_as(found.importance), found.alive
    choices = {"all": every, f"top {100 * IMPORTANT:.0f} %": important(found)}
    rows = [
        {"images_by": images_by, "measure": name, "units": units, **_row(found, name, *chosen)}
        for units, chosen in choices.items()
        for name in Alikeness._fields
    ]
    return pd.DataFrame(rows)


def important(found: Alike) -> tuple[Tensor, Tensor]:
    """[H,C] and [C] bool: the most important pairs and neurons, of those that are alive."""
    return _top(found.importance) & found.alive, _top(found.neuron_importance) & found.alive


def better_pairs(found: Alike, name: str, chosen: Tensor) -> Tensor:
    """Of each neuron's chosen pairs, the share that is more monosemantic: [C], NaN for none."""
    turn = 1 if LOWER_IS_BETTER[name] else -1
    pairs, neurons = getattr(found.pairs, name), getattr(found.neurons, name)
    return share_below(turn * pairs, turn * neurons, chosen)


def _top(importance: Tensor) -> Tensor:
    count = max(1, round(IMPORTANT * importance.numel()))
    return importance >= importance.flatten().topk(count).values[-1]


def _row(found: Alike, name: str, chosen: Tensor, neurons: Tensor) -> dict[str, object]:
    """chosen: [H,C] bool, pairs; neurons: [C] bool."""
    of_pairs, of_neurons = getattr(found.pairs, name), getattr(found.neurons, name)
    below = better_pairs(found, name, chosen)
    sizes = chosen.sum(0)
    has = sizes > 0
    return {
        "pairs_counted": int(sizes.sum()),
        "neurons_counted": int(neurons.sum()),
        "median_pairs": float(of_pairs[chosen].median()),
        "median_neurons": float(of_neurons[neurons].median()),
        "better": float((below * sizes)[has].sum() / sizes.sum()),
        "per_neuron": below[has].quantile(QUARTILES).tolist(),
    }
