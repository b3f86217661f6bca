"""What came of one unit of work, and the one file that holds it and says that it is done."""

import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.io.rejects import Reject
from pipelines.segment.metrics import Counts, confusion
from pipelines.segment.pictures import Scene

LONG_SIDE = 512  # pixels of the pictures that are kept
Maps = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A scene as the page shows it: [h,w,3], its truth [h,w] (255: unknown), maps [S,h,w]."""

    key: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    maps: Maps


@dataclass
class UnitResult:
    """Sums over a unit's images, and of each image what scores can be made of."""

    settings: int
    classes: int
    place: str
    source: str
    confusion: Counts = field(init=False)
    """[S,P,P]"""
    keys: list[str] = field(default_factory=list)
    masked: list[bool] = field(default_factory=list)
    """Whether there was a mask."""
    truth: list[Counts] = field(default_factory=list)
    """[P] per image; pixels, 0 without a mask."""
    predicted: list[Counts] = field(default_factory=list)
    """[S,P] per image; of the pixels whose truth is known, or of all without a mask."""
    hits: list[Counts] = field(default_factory=list)
    """[S,P] per image."""
    rejects: list[Reject] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.settings, self.classes, self.classes), np.int64)

    @property
    def counts(self) -> dict[str, int]:
        """read = measured + unmasked + rejected."""
        measured, rejected = sum(self.masked), len(self.rejects)
        read = len(self.keys) + rejected
        unmasked = len(self.keys) - measured
        found = {"read": read, "measured": measured, "unmasked": unmasked, "rejected": rejected}
        return found

    def add(self, scene: Scene, maps: Maps) -> None:
        """Count one scene's maps [S,h,w]."""
        self.keys.append(scene.key)
        self.masked.append(scene.truth is not None)
        if scene.truth is None:
            counted = [np.bincount(m.ravel(), minlength=self.classes) for m in maps]
            nothing = np.zeros((self.settings, self.classes), np.int64)
            self._row(nothing[0], np.stack(counted), nothing)
            return
        found = np.stack([confusion(scene.truth, m, self.classes) for m in maps])  # [S,P,P]
        self.confusion += found
        self._row(found[0].sum(1), found.sum(1), np.diagonal(found, axis1=1, axis2=2))

    def _row(self, truth: Counts, predicted: Counts, hits: Counts) -> None:
        self.truth.append(truth)
        self.predicted.append(predicted)
        self.hits.append(hits)

    def show(self, scene: Scene, maps: Maps) -> None:
        """Keep a scene for the page, made smaller if it is large."""
        width, height = scene.image.size
        part = min(1.0, LONG_SIDE / max(width, height))
        size = (max(1, round(width * part)), max(1, round(height * part)))
        rows = (np.arange(size[1]) + 0.5) * height // size[1]
        columns = (np.arange(size[0]) + 0.5) * width // size[0]
        down, across = np.ix_(rows.astype(int), columns.astype(int))  # ids cannot be mixed
        truth = None if scene.truth is None else scene.truth[down, across].astype(np.uint8)
        image = np.asarray(scene.image.resize(size, Image.Resampling.BILINEAR))
        self.pictures.append(Picture(scene.key, image, truth, maps[:, down, across]))

    def to_bytes(self) -> bytes:
        """As a compressed .npz."""
        rows = (len(self.keys), self.settings, self.classes)
        about = {
            "place": self.place,
            "source": self.source,
            "keys": self.keys,
            "masked": self.masked,
            "rejects": [[r.key, r.reason, r.detail] for r in self.rejects],
            "reasons": dict(Counter(r.reason for r in self.rejects)),
            "pictures": [picture.key for picture in self.pictures],
            "seconds": self.seconds,
            **self.counts,
        }
        arrays: dict[str, Any] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "confusion": self.confusion,
            "truth": np.array(self.truth, np.int64).reshape(rows[0], rows[2]),
            "predicted": np.array(self.predicted, np.int64).reshape(rows),
            "hits": np.array(self.hits, np.int64).reshape(rows),
        }
        for i, shown in enumerate(self.pictures):
            arrays |= {f"image_{i}": shown.image, f"maps_{i}": shown.maps}
            arrays |= {} if shown.truth is None else {f"truth_{i}": shown.truth}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()


def from_bytes(data: bytes) -> UnitResult:
    """The result as it was written; raises what broken bytes make numpy and json raise."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        settings, classes = arrays["confusion"].shape[:2]
        found = UnitResult(settings, classes, about["place"], about["source"])
        found.confusion = arrays["confusion"]
        found.keys, found.masked, found.seconds = about["keys"], about["masked"], about["seconds"]
        found.truth, found.predicted, found.hits = (
            list(arrays[name]) for name in ("truth", "predicted", "hits")
        )
        found.rejects = [Reject(*one) for one in about["rejects"]]
        found.pictures = [
            Picture(key, arrays[f"image_{i}"], arrays.get(f"truth_{i}"), arrays[f"maps_{i}"])
            for i, key in enumerate(about["pictures"])
        ]
    return found
