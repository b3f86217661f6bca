"""A neuron beside its strongest heads."""

import torch

from nhd_ops.spatial_maps import neuron_maps
from nhd_ops.sub_concepts import strong_heads
from pipelines.errors import UsageError
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import (
    EXEMPLARS,
    Row,
    Sheet,
    facts,
    neuron_extremes,
    own_exemplars,
    pair_exemplars,
    pair_facts,
    pair_look,
    strength,
    words,
)

HEADS = 4


def neuron_sheet(fitted: Fitted, neuron: int, heads: list[int] | None = None) -> Sheet:
    """The neuron's exemplars, then those of some heads: the HEADS of largest share by default.

    Raises UsageError if there is no such neuron.
    """
    neurons = fitted.directions.neurons
    if not 0 <= neuron < neurons:
        raise UsageError(f"there is no neuron {neuron}: {fitted.run.url} has 0 to {neurons - 1}")
    shares = fitted.shares(torch.tensor([neuron]))[0]
    if heads is None:
        heads = strong_heads(shares[None], HEADS).heads[0].tolist()
    rows = [_head_row(fitted, head, neuron, float(shares[head])) for head in heads]
    return Sheet(
        f"neuron-{neuron}",
        f"Neuron {neuron} and its heads",
        "Words are those nearest to the direction. A share is the head's part of the variance of "
        "the neuron's contribution.",
        {"neuron": neuron, "shares": shares.tolist(), "heads": heads},
        (_neuron_row(fitted, neuron), *rows),
    )


def _neuron_row(fitted: Fitted, neuron: int) -> Row:
    largest = neuron_extremes(fitted, torch.tensor([neuron]), EXEMPLARS)
    row = fitted.neurons.iloc[neuron]
    names = ("explained_variance_ratio", "importance", "inertia", "clarity", "polysemanticity")
    found = {"neuron": neuron, **facts(row, names), "words": words(row)}
    gram = fitted.gram(neuron)
    ratio = found.get("explained_variance_ratio")
    explained = "never varies" if ratio is None else f"first component {ratio:.0%} of the variance"
    return Row(
        f"neuron {neuron}",
        (", ".join(found["words"]), "all heads together", explained, *strength(found)),
        found,
        own_exemplars(fitted, largest),
        lambda features: neuron_maps(fitted.pool, features, neuron, gram),
    )


def _head_row(fitted: Fitted, head: int, neuron: int, share: float) -> Row:
    pair = fitted.pair(head, neuron)
    found = {"share": share, **pair_facts(fitted, pair)}
    return Row(
        f"head {head}",
        (", ".join(found["words"]), f"share {share:.0%}", *strength(found)),
        found,
        pair_exemplars(fitted, pair),
        pair_look(fitted, pair),
    )
