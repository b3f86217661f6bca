"""What all units together say: sums, and a row per image and setting."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.io.files import ParquetBuffer
from pipelines.segment.metrics import mean, ratio
from pipelines.segment.resamples import Resamples
from pipelines.segment.unit_result import Picture, UnitResult

IMAGES = pa.schema(
    [
        ("shard", pa.string()),
        ("key", pa.string()),
        ("setting", pa.int32()),
        ("miou", pa.float32()),
        ("accuracy", pa.float32()),
        ("intersection", pa.list_(pa.int32())),
        ("union", pa.list_(pa.int32())),
    ]
)
"""A row per measured image and setting; the lists have one number per class, in pixels."""
REJECTS = pa.schema([(name, pa.string()) for name in ("shard", "key", "stage", "reason", "detail")])


class Totals:
    """Sums over units; holds the rows of images encoded only."""

    def __init__(self, settings: int, classes: int) -> None:
        self.confusion = np.zeros((settings, classes, classes), np.int64)
        self.predicted = np.zeros((settings, classes), np.int64)
        """[S,P] pixels of all images, whether or not they have a mask."""
        self.resamples = Resamples(settings, classes)
        self.counts: Counter[str] = Counter(read=0, measured=0, unmasked=0, rejected=0)
        self.seconds: Counter[str] = Counter()
        self.images = ParquetBuffer(IMAGES)
        self.rejects: list[tuple[str, ...]] = []
        self.pictures: list[Picture] = []

    def add(self, unit: UnitResult) -> None:
        """Count a unit in."""
        self.confusion += unit.confusion
        self.counts.update(unit.counts)
        self.seconds.update(unit.seconds)
        self.pictures += unit.pictures
        self.rejects += [(unit.place, r.key, r.stage, r.reason, r.detail) for r in unit.rejects]
        if not unit.keys:
            return
        self.predicted += np.sum(unit.predicted, axis=0)
        masked = np.array(unit.masked)
        keys = [key for key, known in zip(unit.keys, unit.masked, strict=True) if known]
        truth, predicted, hits = (
            np.stack(part)[masked] for part in (unit.truth, unit.predicted, unit.hits)
        )
        union = truth[:, None] + predicted - hits  # [N,S,P]
        self.resamples.add([f"{unit.place}/{key}" for key in keys], hits, union, truth)
        self._rows(unit.place, keys, hits, union, truth)

    def _rows(self, place: str, keys: list[str], hits: Any, union: Any, truth: Any) -> None:
        images, settings, _ = hits.shape
        every = images * settings
        accuracy = ratio(hits.sum(2), np.repeat(truth.sum(1, keepdims=True), settings, axis=1))
        columns = [
            pa.array([place] * every, pa.string()),
            pa.array([key for key in keys for _ in range(settings)], pa.string()),
            pa.array(np.tile(np.arange(settings), images), pa.int32()),
            pa.array(mean(ratio(hits, union)).ravel(), pa.float32()),
            pa.array(accuracy.ravel(), pa.float32()),
            _lists(hits),
            _lists(union),
        ]
        self.images.add(pa.Table.from_arrays(columns, schema=IMAGES))

    def rejects_table(self) -> pa.Table:
        """A row per reject, in order of units."""
        columns: Sequence[Any] = list(zip(*self.rejects, strict=True)) or [()] * len(REJECTS)
        arrays = [pa.array(column, pa.string()) for column in columns]
        return pa.Table.from_arrays(arrays, schema=REJECTS)


def _lists(values: Any) -> pa.Array:
    """[N,S,P] as N·S lists."""
    offsets = np.arange(0, values.size + 1, values.shape[2], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel(), pa.int32()))


def worst_images(images: bytes, setting: int, most: int) -> pd.DataFrame:
    """The images of lowest mIoU in one setting: key, miou, accuracy."""
    columns = ["shard", "key", "setting", "miou", "accuracy"]
    table = pq.read_table(io.BytesIO(images), columns=columns).to_pandas()
    table = table[table["setting"] == setting].sort_values(["miou", "shard", "key"])
    return table[["shard", "key", "miou", "accuracy"]].head(most)
