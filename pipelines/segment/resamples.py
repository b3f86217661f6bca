"""How sure mIoU is, and what a fair choice of k scores: sums over images that can be streamed.

The interval is a Poisson bootstrap: in each of R replicates every image counts a number of times
drawn from Poisson(1), by a generator seeded with the image's name, so that nothing depends on the
order or the grouping of images (Chamandy, Muralidharan, Najmi and Naidu, Google 2012, "Estimating
uncertainty for massive data streams"). All settings share the draws, so that differences of two
settings are paired. Classes with true pixels of which a replicate drew none are left out of its
mean: else few images of a class would drag the interval below the score. The same name also puts
every image into one of two halves.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from pipelines.segment.metrics import Numbers, mean, ratio

REPLICATES = 400
LEVEL = 0.95


class Resamples:
    """Intersections and unions of S settings and P classes, per replicate and per half."""

    def __init__(self, settings: int, classes: int) -> None:
        # [2,S,R,P] and [2,half,S,P]; first intersection, then union
        self.sums = np.zeros((2, settings, REPLICATES, classes))
        self.truth = np.zeros((REPLICATES, classes))
        self.occurs = np.zeros(classes, bool)  # in the truth of all images
        self.halves = np.zeros((2, 2, settings, classes))

    def add(self, names: Sequence[str], hits: Numbers, union: Numbers, truth: Numbers) -> None:
        """Add images: names, [N,S,P] intersections and unions, [N,P] true pixels."""
        if not names:
            return
        seeds = [zlib.crc32(name.encode()) for name in names]
        weights = np.stack([np.random.default_rng(s).poisson(1.0, REPLICATES) for s in seeds])
        self.truth += weights.T @ truth
        self.occurs |= truth.any(0)
        half = np.array(seeds) & 1
        for i, part in enumerate((hits, union)):
            self.sums[i] += np.einsum("nr,nsp->srp", weights.astype(float), part)
            for side in (0, 1):
                self.halves[i, side] += part[half == side].sum(0)

    def interval(self, setting: int) -> tuple[float, float]:
        """Of a setting's mIoU."""
        return _interval(self._mean_iou(setting))

    def difference(self, setting: int, other: int) -> tuple[float, float]:
        """Interval of one setting's mIoU minus another's, over the same replicates."""
        return _interval(self._mean_iou(setting) - self._mean_iou(other))

    def held_out(self, settings: Sequence[int]) -> float:
        """mIoU if each half of the images is given the setting that is best on the other half."""
        by_half = mean(ratio(*self.halves))  # [2,S]
        if np.isnan(by_half[:, settings]).any():
            return float("nan")  # a half without images
        best = [settings[int(np.argmax(by_half[side, settings]))] for side in (0, 1)]
        hits, union = (self.halves[i, 0, best[1]] + self.halves[i, 1, best[0]] for i in (0, 1))
        return float(mean(ratio(hits, union)))

    def _mean_iou(self, setting: int) -> Numbers:
        iou = ratio(self.sums[0, setting], self.sums[1, setting])  # [R,P]
        return mean(np.where(self.occurs & (self.truth == 0), np.nan, iou))


def _interval(values: Numbers) -> tuple[float, float]:
    if np.isnan(values).all():
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail))
    return float(low), float(high)
