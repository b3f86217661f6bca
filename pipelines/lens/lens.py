"""A lens: what was learned once on a reference sample, and what later runs are scored with.

    <lens>/lens.json            what it is of: weights, preprocessing, concepts, reference, its id
    <lens>/lens.safetensors     the tensors of `Lens`
    <lens>/concepts.parquet     concept, slug, rule (paper or grounded), rank, pair, head, neuron,
                                weight, r, sign, words (of sign·u): the concept pairs of both kinds
    <lens>/pairs.parquet        pair, head, neuron, sign, mean, std, words

`lens.json` is written last, so a lens is there when it is.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from safetensors.torch import load, save
from torch import Tensor

from nhd_ops.grounded import Grounded
from pipelines.errors import UsageError
from pipelines.io.files import atomic_write, write_json, write_parquet
from pipelines.io.store import Run
from pipelines.io.urls import redact

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Lens:
    """Everything that scoring an image through a lens needs."""

    info: dict[str, Any]
    """`lens.json`: model, pretrained, checkpoint, weights_sha256, preprocess_id, dtype, units,
    concepts (a list of {slug, text}), pairs_per_concept, images, reference, code_version,
    `grounded` (how many candidates each concept takes, and why), `made_from` (what decides how the
    lens comes out), and `id`."""
    mean: Tensor
    """[H,C] fp32, of the coefficients over the reference sample."""
    deviation: Tensor
    """[H,C] fp32, ≥ 0."""
    signs: Tensor
    """[H,C] fp32, ±1."""
    pairs: Tensor
    """[Q,k] int64: concept pairs by the paper's rule, with these signs."""
    grounded: Grounded

    @property
    def id(self) -> str:
        """SHA-256 of its tensors: two runs with the same were scored alike."""
        found: str = self.info["id"]
        return found

    def to(self, device: str) -> "Lens":
        """The same lens with its tensors on `device`."""
        mean, deviation, signs, pairs = (
            t.to(device) for t in (self.mean, self.deviation, self.signs, self.pairs)
        )
        grounded = Grounded(*(part.to(device) for part in self.grounded))
        return Lens(self.info, mean, deviation, signs, pairs, grounded)

    @property
    def texts(self) -> tuple[str, ...]:
        """The concepts' texts, in order."""
        return tuple(concept["text"] for concept in self.info["concepts"])


def write_lens(url: str, lens: Lens, concepts: pa.Table, pairs: pa.Table) -> Lens:
    """Write all files of a lens; return it with its id."""
    at = Run(url).at
    data = save({name: tensor.contiguous() for name, tensor in _tensors(lens).items()})
    info = lens.info | {
        "schema_version": SCHEMA_VERSION,
        "id": hashlib.sha256(data).hexdigest(),
    }
    write_parquet(at("concepts.parquet"), concepts)
    write_parquet(at("pairs.parquet"), pairs)
    atomic_write(at("lens.safetensors"), data)
    write_json(at("lens.json"), info)
    return Lens(info, lens.mean, lens.deviation, lens.signs, lens.pairs, lens.grounded)


def read_lens(url: str) -> Lens:
    """Read a lens; UsageError where there is none, or where its files do not belong together."""
    folder = Run(url)
    if not folder.exists("lens.json"):
        raise UsageError(f"{url} is not a lens: it has no lens.json; make one with nhd calibrate")
    info = _info(url, folder.read("lens.json"))
    try:
        data = folder.read("lens.safetensors")
    except FileNotFoundError:
        raise UsageError(f"{url} is damaged: it has no lens.safetensors") from None
    if hashlib.sha256(data).hexdigest() != info["id"]:
        raise UsageError(f"{url} is damaged: lens.safetensors is not the one of its lens.json")
    parts = load(data)
    grounded = Grounded(parts.pop("grounded_pairs"), parts.pop("grounded_weights"))
    return Lens(info, **parts, grounded=grounded)


def _info(url: str, data: bytes) -> dict[str, Any]:
    """What lens.json tells; UsageError where that is not what `write_lens` writes."""
    try:
        info = json.loads(data)
    except ValueError:
        info = None
    if not isinstance(info, dict) or not {"id", "schema_version"} <= info.keys():
        raise UsageError(f"{url} is damaged: its lens.json is none; calibrate again")
    if info["schema_version"] != SCHEMA_VERSION:
        raise UsageError(
            f"{url} is a lens of schema version {info['schema_version']}, but this nhd reads "
            f"{SCHEMA_VERSION}; calibrate again, or use the nhd that made it"
        )
    return info


class LensAt(NamedTuple):
    """Which lens, and where: what workers are told, who read it themselves."""

    url: str
    id: str

    def read(self) -> Lens:
        """UsageError where there is another lens by now, or none."""
        lens = read_lens(self.url)
        if lens.id != self.id:
            raise UsageError(
                f"there is another lens at {redact(self.url)} than when this run began: put the "
                "first one back, or choose another --out"
            )
        return lens


def _tensors(lens: Lens) -> dict[str, Tensor]:
    return {
        "mean": lens.mean,
        "deviation": lens.deviation,
        "signs": lens.signs,
        "pairs": lens.pairs,
        "grounded_pairs": lens.grounded.pairs,
        "grounded_weights": lens.grounded.weights,
    }
