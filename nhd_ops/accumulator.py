"""Moments of batches as they come: taken over a few hundred images at a time, which is cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops import moments
from nhd_ops.geometry import Geometry
from nhd_ops.moments import Moments

IMAGES = 256
"""Images per block. Merging costs a fixed time per block: about that of five images of RN50."""


class _Batch(NamedTuple):
    coefficients: Tensor  # [B,H,C]
    ids: Tensor  # [B]
    similarity: Tensor  # [B,Q]
    labels: Tensor  # [B,L]
    buckets: list[str]


class Accumulator:
    """Holds the coefficients of up to `images` images, and the moments of all before them."""

    def __init__(self, geometry: Geometry, images: int = IMAGES) -> None:
        self.geometry, self.images = geometry, images
        self.waiting: list[_Batch] = []
        self.moments: Moments | None = None

    def add(
        self,
        coefficients: Tensor,
        ids: Tensor,
        similarity: Tensor,
        labels: Tensor,
        buckets: Sequence[str] = (),
    ) -> None:
        """Add a batch; arguments as of `moments.moments_of`.

        If it raises, say for lack of memory, the batch is not added and nothing is lost: `shrink`
        and add it again.
        """
        if sum(map(_size, self.waiting)) + len(ids) > self.images:
            self.settle()
        self.waiting.append(_Batch(coefficients, ids, similarity, labels, list(buckets)))

    def shrink(self, images: int) -> None:
        """Take blocks of at most `images` from now on."""
        self.images = images
        self.waiting = [part for batch in self.waiting for part in _parts(batch, images)]

    def take(self) -> Moments | None:
        """The moments of everything added; None if nothing was. Begins anew."""
        self.settle()
        found, self.moments = self.moments, None
        return found

    def settle(self) -> None:
        """Take the moments of what waits, `images` at a time; each block is done, or waits on."""
        while self.waiting:
            block = _first(self.waiting, self.images)
            self.moments = self._with(_joined(block))
            del self.waiting[: len(block)]

    def _with(self, batch: _Batch) -> Moments:
        return moments.moments_of(
            batch.coefficients,
            self.geometry,
            batch.ids,
            similarity=batch.similarity,
            labels=batch.labels,
            buckets=batch.buckets,
            before=self.moments,
        )


def _size(batch: _Batch) -> int:
    return len(batch.ids)


def _parts(batch: _Batch, images: int) -> list[_Batch]:
    cuts = [slice(start, start + images) for start in range(0, _size(batch), images)]
    return [
        _Batch(
            batch.coefficients[cut],
            batch.ids[cut],
            batch.similarity[cut],
            batch.labels[cut],
            batch.buckets[cut],
        )
        for cut in cuts
    ]


def _first(waiting: list[_Batch], images: int) -> list[_Batch]:
    """As many of the first batches as have at most `images` images, but at least one."""
    total, taken = 0, 0
    for batch in waiting:
        total += _size(batch)
        if taken and total > images:
            break
        taken += 1
    return waiting[:taken]


def _joined(batches: list[_Batch]) -> _Batch:
    if len(batches) == 1:
        return batches[0]
    return _Batch(
        torch.cat([batch.coefficients for batch in batches]),
        torch.cat([batch.ids for batch in batches]),
        torch.cat([batch.similarity for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        [name for batch in batches for name in batch.buckets],
    )
