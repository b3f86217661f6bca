"""Everything that one pass over the images keeps, merged in any order.

`moments_of` turns a batch into Moments, `merge` adds two; the batch size, the order and the
sharding do not matter to 1e-6 (nhd_ops/README.md, section 2). One value weighs about 240 MB on
RN50x16, so take a few hundred images at a time rather than a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

import torch
from torch import Tensor

from nhd_ops import extremes, pair_moments, unit_moments
from nhd_ops.geometry import Geometry
from nhd_ops.pair_moments import Centred, PairMoments, centre, pair_moments_of
from nhd_ops.target_moments import (
    ConceptMoments,
    LabelMoments,
    concept_moments_of,
    label_moments_of,
    merge_concepts,
    merge_labels,
)
from nhd_ops.unit_moments import UnitMoments, unit_moments_of

TOP = 50
"""How many extremes are kept, for pairs, neurons and heads (arXiv 2509.19943 uses 50)."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mergeable statistics of some images."""

    pairs: PairMoments
    largest: Tensor
    """[H·C,50] int64 keys of the largest s; see `extremes`."""
    smallest: Tensor
    """[H·C,50] int64 keys of the largest -s: negate what `extremes.unpack` gives."""
    neurons: UnitMoments
    """U = C, W = H: the coefficients of a neuron in all heads."""
    heads: UnitMoments
    """U = H, W = E: the value vector of a head, without b_v."""
    concepts: ConceptMoments
    labels: LabelMoments
    buckets: dict[str, PairMoments]

    @property
    def count(self) -> int:
        """The number of images."""
        return self.pairs.count

    def bucket_names(self) -> list[str]:
        """The buckets in the order in which `to_tensors` numbers them."""
        return sorted(self.buckets)


def moments_of(
    coefficients: Tensor,
    geometry: Geometry,
    ids: Tensor,
    *,
    similarity: Tensor | None = None,
    labels: Tensor | None = None,
    buckets: Sequence[str] | None = None,
    before: Moments | None = None,
) -> Moments:
    """Moments of one batch, or of it and of what came before.

    Args:
        coefficients: [B,H,C], s.
        geometry: the model's, on the same device.
        ids: [B] int64 in [0, 2³²), unique over all batches that will be merged.
        similarity: [B,Q], of each image to each concept.
        labels: [B,L] bool.
        buckets: B names, one per image.
        before: the result is merged with these, which is faster than `merge` afterwards: of the
            batch only what can be an extreme beside theirs is sorted.
    Raises:
        ValueError: there is no image, a coefficient is not finite, or `before` has another number
            of concepts or labels.
    """
    _refuse(coefficients)
    pairs, none = coefficients.flatten(1), coefficients.new_zeros(len(coefficients), 0)
    s = centre(coefficients)
    by_neuron = coefficients.permute(2, 0, 1).contiguous()  # [C,B,H]
    neurons = Centred(by_neuron, s.mean.mT, by_neuron - s.mean.mT.to(by_neuron.dtype)[:, None])
    known = extremes.none(pairs.shape[1], TOP, pairs.device)
    largest, smallest = (known, known) if before is None else (before.largest, before.smallest)
    found = Moments(
        pair_moments_of(s, geometry.norms),
        extremes.update(largest, pairs, ids),
        extremes.update(smallest, -pairs, ids),
        unit_moments_of(neurons, geometry.neuron_gram, ids, TOP),
        unit_moments_of(_head_values(s, geometry), geometry.head_gram, ids, TOP),
        concept_moments_of(s, none if similarity is None else similarity),
        label_moments_of(s, (none if labels is None else labels).bool()),
        _bucket_moments(coefficients, geometry.norms, buckets or ()),
    )
    return found if before is None else _merge(before, found, (found.largest, found.smallest))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of the images of both; neither argument is changed.

    Raises:
        ValueError: the two were made with different models, concepts or labels.
    """
    tops = extremes.merge(a.largest, b.largest), extremes.merge(a.smallest, b.smallest)
    return _merge(a, b, tops)


def _merge(a: Moments, b: Moments, tops: tuple[Tensor, Tensor]) -> Moments:
    for name, left, right in (
        ("pair shapes", a.pairs.mean.shape, b.pairs.mean.shape),
        ("numbers of concepts", a.concepts.mean.shape, b.concepts.mean.shape),
        ("numbers of labels", a.labels.count1.shape, b.labels.count1.shape),
    ):
        if left != right:
            raise ValueError(
                f"Cannot merge moments of different {name}, {list(left)} and {list(right)}: "
                "both must come from the same model, concepts and labels."
            )
    return Moments(
        pair_moments.merge(a.pairs, b.pairs),
        *tops,
        unit_moments.merge(a.neurons, b.neurons),
        unit_moments.merge(a.heads, b.heads),
        merge_concepts(a.concepts, b.concepts),
        merge_labels(a.labels, b.labels),
        _merge_buckets(a.buckets, b.buckets),
    )


def relabel(moments: Moments, starts_old: Tensor, starts_new: Tensor) -> Moments:
    """Move image ids by an increasing map, as `extremes.relabel` does, everywhere they occur."""
    return replace(
        moments,
        largest=extremes.relabel(moments.largest, starts_old, starts_new),
        smallest=extremes.relabel(moments.smallest, starts_old, starts_new),
        neurons=unit_moments.relabel(moments.neurons, starts_old, starts_new),
        heads=unit_moments.relabel(moments.heads, starts_old, starts_new),
    )


def to_tensors(moments: Moments) -> dict[str, Tensor]:
    """Named tensors, as safetensors wants them; the names are the fields, joined by "/".

    Bucket i of `moments.bucket_names()` is stored under "buckets/i/"; store the list of names
    beside the tensors and give it to `from_tensors`.
    """
    return _flatten(moments, "")


def from_tensors(tensors: Mapping[str, Tensor], bucket_names: Sequence[str] = ()) -> Moments:
    """The inverse of `to_tensors`."""
    buckets = {
        name: _build(PairMoments, tensors, f"buckets/{i}/") for i, name in enumerate(bucket_names)
    }
    built: Moments = _build(Moments, tensors, "", buckets=buckets)
    return built


def _refuse(coefficients: Tensor) -> None:
    if len(coefficients) == 0:
        raise ValueError("Moments of no images are undefined: skip empty batches.")
    if not bool(coefficients.isfinite().all()):
        raise ValueError(
            "A coefficient is infinite or not a number: reject such images before taking moments, "
            "and run the attention pool in float32 if half precision overflows."
        )


def _head_values(s: Centred, geometry: Geometry) -> Centred:
    """The heads' value vectors [H,B,E], multiplied after centring: their means may be large."""
    value = geometry.directions.value
    mean = torch.einsum("hc,hec->he", s.mean, value.double())
    deviations = s.deviations.transpose(0, 1) @ value.mT
    return Centred(deviations + mean.to(value.dtype)[:, None], mean, deviations)


def _bucket_moments(
    coefficients: Tensor, norms: Tensor, buckets: Sequence[str]
) -> dict[str, PairMoments]:
    rows = {name: [i for i, other in enumerate(buckets) if other == name] for name in set(buckets)}
    return {name: pair_moments_of(centre(coefficients[rows[name]]), norms) for name in sorted(rows)}


def _merge_buckets(
    a: Mapping[str, PairMoments], b: Mapping[str, PairMoments]
) -> dict[str, PairMoments]:
    shared = {name: pair_moments.merge(a[name], b[name]) for name in a.keys() & b.keys()}
    return {**a, **b, **shared}


def _flatten(value: Any, prefix: str) -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {prefix[:-1]: value.contiguous()}
    if isinstance(value, int):
        return {prefix[:-1]: torch.tensor(value)}
    if isinstance(value, dict):
        parts = [(str(i), value[name]) for i, name in enumerate(sorted(value))]
    else:
        parts = [(field.name, getattr(value, field.name)) for field in fields(value)]
    return {
        key: tensor
        for name, part in parts
        for key, tensor in _flatten(part, f"{prefix}{name}/").items()
    }


def _build(kind: Any, tensors: Mapping[str, Tensor], prefix: str, **given: Any) -> Any:
    if kind is Tensor:
        return tensors[prefix[:-1]]
    if kind is int:
        return int(tensors[prefix[:-1]])
    parts = {
        name: _build(part, tensors, f"{prefix}{name}/")
        for name, part in get_type_hints(kind).items()
        if name not in given
    }
    return kind(**parts, **given)
