"""The image rows of a run: their Parquet schema, and tables built from what extraction computes."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops.concepts import Measures
from pipelines.errors import UsageError
from pipelines.io.shards import Sample

TYPES = {"bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
INT64 = range(-(2**63), 2**63)
MEASURES = ("share", "score", "similarity")
GROUNDED = "grounded"  # the fourth measure, of runs that were scored through a lens
OWN = (
    "shard", "key", "width", "height", "meta", "embedding", "pairs", "coefficients",
    "norm_total", "norm_kept",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Which columns a run has: the user's (name → type name), the concepts' slugs, dense heads."""

    columns: dict[str, str]
    slugs: tuple[str, ...]
    dense_heads: int = 0
    grounded: bool = False
    """Was it scored through a lens?"""

    def schema(self) -> pa.Schema:
        """The Arrow schema of `images/<shard-id>.parquet` (see the README's run folder)."""
        floats = pa.list_(pa.float32())
        fields = [("shard", pa.string()), ("key", pa.string())]
        fields += [("width", pa.int32()), ("height", pa.int32()), ("meta", pa.string())]
        fields += [(name, TYPES[kind]) for name, kind in self.columns.items()]
        fields += [("embedding", floats), ("pairs", pa.list_(pa.int32())), ("coefficients", floats)]
        fields += [("norm_total", pa.float32()), ("norm_kept", pa.float32())]
        fields += [
            (f"{m}_{slug}", pa.float32()) for slug in self.slugs for m in measures(self.grounded)
        ]
        fields += [(f"head_{head:03d}", floats) for head in range(self.dense_heads)]
        return pa.schema(fields)


@dataclass(frozen=True)
class Batch:
    """What extraction knows of B images, on the CPU."""

    samples: list[Sample]
    sizes: list[tuple[int, int]]
    """(width, height) of each source image."""
    embedding: Tensor
    """[B,D]"""
    pairs: Tensor
    """[B,m] int32, largest norm first."""
    coefficients: Tensor
    """[B,m] signed s·‖u‖, rounded to fp16, as fp32."""
    norm_total: Tensor
    """[B]"""
    norm_kept: Tensor
    """[B]"""
    measures: Measures
    dense: Tensor | None
    """[B,H,C] s·‖u‖ rounded to fp16, or None."""
    grounded: Tensor | None = None
    """[B,Q] scores through the lens, or None."""


def measures(grounded: bool) -> tuple[str, ...]:
    """The names of what is reported of each image and concept, in the order of the columns."""
    return (*MEASURES, GROUNDED) if grounded else MEASURES


def slug(text: str) -> str:
    """A column-name form of a concept: "A red car" → "a_red_car"."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "concept"


def slugs(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The slugs of all concepts; UsageError where two concepts would share a column."""
    made: dict[str, str] = {}
    for text in texts:
        if (name := slug(text)) in made:
            raise UsageError(
                f"concepts '{made[name]}' and '{text}' would share the column similarity_{name}; "
                "word one of them otherwise"
            )
        made[name] = text
    return tuple(made)


def check_column_names(
    names: tuple[str, ...], concept_slugs: tuple[str, ...], grounded: bool = False
) -> None:
    """UsageError where a metadata column would overwrite one of the run's own."""
    own = {*OWN, *(f"{m}_{s}" for s in concept_slugs for m in measures(grounded))}
    for name in names:
        if name in own:
            raise UsageError(
                f"the metadata field '{name}' has the name of one of nhd's own columns"
            )


def infer_types(names: tuple[str, ...], found: list[dict[str, Any]]) -> dict[str, str]:
    """The type name of each metadata column from some samples; UsageError for an unknown field."""
    types = {}
    for name in names:
        values = [fields[name] for fields in found if fields.get(name) is not None]
        if not values:
            known = sorted({key for fields in found for key in fields})
            raise UsageError(
                f"no sample has a field '{name}' in its JSON; fields found: "
                f"{', '.join(known) or 'none (the samples have no JSON)'}"
            )
        types[name] = _type_of(values)
    return types


def _type_of(values: list[Any]) -> str:
    if all(isinstance(v, bool) for v in values):
        return "bool"
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return "string"
    if all(isinstance(v, int) for v in values):
        return "int64" if all(v in INT64 for v in values) else "string"  # a double would round them
    return "string" if None in map(_double, values) else "double"


def fit_type(value: Any, kind: str) -> Any:
    """A JSON value as its column's type; None where it does not fit (the row's meta still has it).

    Never raises. Strings lose nothing but lone surrogates, which become their escapes; what is no
    string becomes its JSON text in a string column.
    """
    if value is None:
        return None
    if kind == "string":
        return _text(value)
    if not isinstance(value, int | float):
        return None
    if kind == "bool":
        return bool(value) if value in (0, 1) else None
    return _double(value) if kind == "double" else _int64(value)


def _text(value: Any) -> str | None:
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):  # nested too deep, or an int of more than 4,300 digits
        return None
    return text.encode(errors="backslashreplace").decode()


def _double(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _int64(value: float) -> int | None:
    whole = isinstance(value, int) or value.is_integer()
    return int(value) if whole and int(value) in INT64 else None


def table(shard: str, batches: list[Batch], layout: Layout) -> pa.Table:
    """The rows of one shard, in the order they were read."""
    schema = layout.schema()
    samples = [sample for batch in batches for sample in batch.samples]
    sizes = np.array([size for batch in batches for size in batch.sizes], np.int32).reshape(-1, 2)
    columns: dict[str, Any] = {
        "shard": [shard] * len(samples),
        "key": [sample.key for sample in samples],
        "width": sizes[:, 0],
        "height": sizes[:, 1],
        "meta": [sample.meta for sample in samples],
    }
    for name, kind in layout.columns.items():
        columns[name] = [fit_type(sample.fields.get(name), kind) for sample in samples]
    columns |= _numbers(batches, layout) if batches else {}
    arrays = [_array(columns.get(field.name, []), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _numbers(batches: list[Batch], layout: Layout) -> dict[str, Tensor]:
    numbers = {
        name: torch.cat([getattr(batch, name) for batch in batches])
        for name in ("embedding", "pairs", "coefficients", "norm_total", "norm_kept")
    }
    found = {m: [getattr(batch.measures, m) for batch in batches] for m in MEASURES}
    if layout.grounded:
        found[GROUNDED] = [batch.grounded for batch in batches if batch.grounded is not None]
    for measure, parts in found.items():
        stacked = torch.cat(parts)  # [N,Q]
        numbers |= {f"{measure}_{s}": stacked[:, q] for q, s in enumerate(layout.slugs)}
    if layout.dense_heads:
        dense = torch.cat([batch.dense for batch in batches if batch.dense is not None])
        numbers |= {f"head_{h:03d}": dense[:, h] for h in range(layout.dense_heads)}
    return numbers


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if not isinstance(values, Tensor):
        return pa.array(values, kind)
    flat = pa.array(values.contiguous().flatten().numpy())
    if not pa.types.is_list(kind):
        return flat.cast(kind)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), flat.cast(kind.value_type))
