"""What can be asked of a run: its views, each over files or over a small table in memory."""

from typing import Any, NamedTuple

import fsspec
import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.io.files import is_local
from pipelines.io.store import REJECTS, Run
from pipelines.io.urls import without_secrets
from pipelines.lens.known_pairs import table_of_lens
from pipelines.tables import manifest
from pipelines.tables.manifest import Record

FIT = ("pairs", "neurons", "heads", "codes", "exemplars")
CONCEPTS = pa.schema(
    [
        ("concept", pa.string()), ("slug", pa.string()), ("rule", pa.string()),
        ("rank", pa.int32()), ("pair", pa.int32()), ("weight", pa.float32()),
    ]
)  # fmt: skip
UNNESTED = "unnest(pairs) AS pair, unnest(coefficients) AS coefficient, shard, key"


class View(NamedTuple):
    """A view: `SELECT * FROM` its files, or the table."""

    name: str
    files: tuple[str, ...] = ()
    """As DuckDB is to open them: local paths, or URLs."""
    unnested: tuple[str, ...] = ()
    """Files of images whose firings the view also has."""
    table: pa.Table | None = None


class Views(NamedTuple):
    """All of a run."""

    found: list[View]
    missing: dict[str, str]
    """Name of a view that is not there → what makes it."""


def views_of(run: Run, series: str | None = None) -> Views:
    """The views over what is committed now.

    Raises UsageError where there is no run, nothing committed, or no series.
    """
    info, records = run.info, run.records()
    cover = manifest.cover(run, records)
    raw = [f"images/{record['shard']}.parquet" for record in cover.raw]
    images = _places(run, [made.images.path for made in cover.made] + raw)
    firings = _places(run, [made.firings.path for made in cover.made])
    found = [
        View("images", images),
        View("firings", firings, unnested=_places(run, raw)),
        _rejects(run, records),
        View("shards", table=_shards(records, {record["shard"] for record in cover.raw})),
        View("concepts", table=_concepts(info)),
    ]
    fitted = run.names("fit", ".parquet")
    missing = {}
    for name in FIT:
        if f"{name}.parquet" in fitted:
            found.append(View(name, _places(run, [f"fit/{name}.parquet"])))
        else:
            missing[name] = _to_fit(run, name, bool(fitted))
    if series is None:
        missing["audits"] = "name a series of audits: --series URL"
    else:
        found.append(View("audits", table=_audits(Run(series))))
    return Views(found, missing)


def _audits(series: Run) -> pa.Table:
    if not series.exists("trend.parquet"):
        raise UsageError(
            f"{series.url} is no series of audits: it has no trend.parquet, which nhd audit writes "
            "into the folder that audit.yaml names as out"
        )
    return series.table("trend.parquet")


def place(run: Run, path: str) -> str:
    """A file of the run as DuckDB is to name it: a local path, or a URL."""
    fs, inside = fsspec.core.url_to_fs(run.at(path))
    return inside if is_local(fs) else str(fs.unstrip_protocol(inside))


def _places(run: Run, paths: list[str]) -> tuple[str, ...]:
    if not paths:
        return ()
    root = place(run, "run.json").removesuffix("run.json")
    return tuple(root + path for path in paths)


def _to_fit(run: Run, name: str, fitted: bool) -> str:
    url = without_secrets(run.url)
    if name == "codes" and fitted:
        return f"{url} was fitted with --atoms 0: run nhd fit --run {url} again, without it"
    return f"{url} is not fitted yet: run nhd fit --run {url}"


def _rejects(run: Run, records: list[Record]) -> View:
    paths = [f"rejects/{record['shard']}.parquet" for record in records if record["rejected"]]
    if not paths:
        return View("rejects", table=REJECTS.empty_table())
    return View("rejects", _places(run, paths))


def _shards(records: list[Record], raw: set[str]) -> pa.Table:
    """One row per committed shard; `compacted` says whether the tables hold it."""
    rows = []
    for record in records:
        files = record.get("files", {})
        row = {name: record[name] for name in ("shard", "url", "read", "written", "rejected")}
        row |= {"bytes": sum(file["bytes"] for file in files.values())}
        row |= {f"seconds_{phase}": spent for phase, spent in record["seconds"].items()}
        row |= {"finished_at": record.get("finished_at"), "compacted": record["shard"] not in raw}
        rows.append(row)
    return pa.Table.from_pylist(rows)


def _concepts(info: dict[str, Any]) -> pa.Table:
    """One row per concept, rule and pair, strongest first; weights belong to a lens."""
    of_lens = _of_lens(info)
    if of_lens is not None:
        return of_lens
    rows = [
        {**names, "rule": "paper", "rank": rank, "pair": pair}
        for names, pairs in zip(_texts(info), info.get("concept_pairs") or [], strict=False)
        for rank, pair in enumerate(pairs)
    ]
    return pa.Table.from_pylist(rows, CONCEPTS)


def _texts(info: dict[str, Any]) -> list[dict[str, str]]:
    return [{"concept": each["text"], "slug": each["slug"]} for each in info["concepts"]]


def _of_lens(info: dict[str, Any]) -> pa.Table | None:
    """From the lens that run.json names; None where it is not there, or another in its place."""
    found = table_of_lens(info, "concepts.parquet", CONCEPTS.names)
    return None if found is None else found.cast(CONCEPTS)
