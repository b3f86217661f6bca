"""Exports: every image is the shard's, hostile keys lead nowhere, and the same bytes come again."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pytest

from pipelines.errors import UsageError
from pipelines.export.csv_file import FORMULAS, safe
from pipelines.export.export import ExportPlan, Format, export
from pipelines.export.report import Report
from pipelines.io.shards import Sample, samples
from tests.export.reports import BROKEN
from tests.jobs.test_cli import nhd


@pytest.fixture(scope="module")
def dataset(url: str, folder: Path) -> Path:
    export(ExportPlan(url, "fiftyone", str(folder / "dataset")))
    return folder / "dataset"


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def documents(dataset: Path) -> list[dict]:
    found: list[dict] = json.loads((dataset / "samples.json").read_text())["samples"]
    return found


def test_every_image_is_the_one_in_its_shard(dataset: Path) -> None:
    shards: dict[str, dict[str, bytes]] = {}
    for sample in documents(dataset):
        if sample["url"] not in shards:
            found = [s for s in samples(sample["url"]) if isinstance(s, Sample)]
            shards[sample["url"]] = {s.key: s.image for s in found}
        data = (dataset / sample["filepath"]).read_bytes()
        assert data == shards[sample["url"]][sample["key"]]
    assert len(shards) == 4


def test_files_lie_in_data_and_none_is_shared(dataset: Path, folder: Path) -> None:
    paths = [sample["filepath"] for sample in documents(dataset)]
    assert len(set(paths)) == len(paths)
    assert set(tree(dataset)) == {"metadata.json", "samples.json", *paths}
    for path in paths:
        assert (dataset / path).resolve().parent == (dataset / "data").resolve()
    keys = Counter((sample["side"], sample["key"]) for sample in documents(dataset))
    assert any(key.startswith("../../") for _, key in keys)
    assert any(key.startswith("/etc/") for _, key in keys)
    assert max(keys.values()) == 2  # the same key in two shards is two images


def test_each_image_has_every_reason_why_it_is_flagged(dataset: Path, report: Report) -> None:
    by_image = {(s["side"], s["shard"], s["key"]): s for s in documents(dataset)}
    lost = 0
    for row in report.samples.to_pylist():
        sample = by_image.get((row["side"], row["shard"], row["key"]))
        if row["name"] == "duplicate_key":  # it never became an image
            lost += 1
            labels = [] if sample is None else sample["flagged"]["classifications"]
            assert "reject duplicate_key" not in [label["label"] for label in labels]
            continue
        assert sample is not None and row["why"] in sample["tags"]
        values = [label.get("value") for label in sample["flagged"]["classifications"]]
        assert row["value"] in values
    assert lost == 4
    broken = [s for s in by_image.values() if s["key"] == "broken"]
    assert {s["tags"][1] for s in broken} == {"reject"} and len(broken) == 2
    assert all((dataset / s["filepath"]).read_bytes().startswith(BROKEN) for s in broken)


def test_images_carry_what_their_run_knows(dataset: Path, report: Report) -> None:
    rows = {side: report.run(side).images().to_pandas() for side in ("baseline", "current")}
    known = {side: frame.set_index(["shard", "key"]) for side, frame in rows.items()}
    for sample in documents(dataset):
        if sample["key"] == "broken":
            assert sample["similarity_yellow"] is None and sample["meta"] is None
            continue
        row = known[sample["side"]].loc[(sample["shard"], sample["key"])]
        assert sample["similarity_yellow"]["value"] == pytest.approx(row["similarity_yellow"])
        assert sample["meta"] == row["meta"]
        said = {label["label"] for label in sample["labels"]["classifications"]}
        assert said == {name for name, is_so in json.loads(row["meta"]).items() if is_so is True}


def test_what_is_described_is_what_is_there(dataset: Path) -> None:
    described = json.loads((dataset / "metadata.json").read_text())["sample_fields"]
    names = {field["db_field"] for field in described}
    written = {name for sample in documents(dataset) for name in sample}
    assert written <= names
    assert names - written == {"metadata", "created_at", "last_modified_at", "_dataset_id"}
    identities = [sample["_id"]["$oid"] for sample in documents(dataset)]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("kind", ["csv", "openlineage"])
def test_again_gives_the_same_bytes_and_other_things_are_refused(
    url: str, tmp_path: Path, kind: Format
) -> None:
    plan = ExportPlan(url, kind, str(tmp_path / "out"))
    said = export(plan)
    first = tree(tmp_path / "out")
    assert export(plan) == said and tree(tmp_path / "out") == first
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"1 file of something else, such as mine\.txt"):
        export(plan)
    assert tree(tmp_path / "out") == first | {"mine.txt": b"x"}


def test_reports_and_datasets_may_be_anywhere_and_the_same_bytes_come_again(
    report: Report, dataset: Path
) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(report.url, "/far/report", recursive=True)
    plan = ExportPlan("memory://far/report", "fiftyone", "memory://far/out")
    for _ in range(2):
        export(plan)
        there = {path.removeprefix("/far/out/"): fs.cat(path) for path in fs.find("/far/out")}
        here = tree(dataset)
        assert there.pop("metadata.json") != here.pop("metadata.json")  # it names the report
        assert there == here
    fs.pipe("/far/out/data/current-1-0123456789ab.jpg", b"of another report")
    with pytest.raises(UsageError, match="holds 1 file of something else, such as data/current-1-"):
        export(plan)


def test_images_that_are_gone_are_counted_and_none_at_all_is_refused(
    folder: Path, url: str, dataset: Path, tmp_path: Path
) -> None:
    shards = sorted(folder.glob("o*/*.tar"))
    assert len(shards) == 4
    for shard in shards:
        shutil.move(shard, tmp_path / f"{shard.parent.name}-{shard.name}")
    try:
        with pytest.raises(UsageError, match=r"none of the .* flagged images can be read"):
            export(ExportPlan(url, "fiftyone", str(tmp_path / "none")))
        assert export(ExportPlan(url, "csv", str(tmp_path / "csv")))
        shutil.copy(tmp_path / f"{shards[0].parent.name}-{shards[0].name}", shards[0])
        said = export(ExportPlan(url, "fiftyone", str(tmp_path / "some")))
    finally:
        for shard in shards:
            shutil.copy(tmp_path / f"{shard.parent.name}-{shard.name}", shard)
    some, every = len(documents(tmp_path / "some")), len(documents(dataset))
    assert 0 < some < every
    assert said.startswith(f"{some} images") and f"{every - some} more" in said


def test_a_spreadsheet_runs_nothing_and_everybody_reads_the_same(
    url: str, report: Report, tmp_path: Path
) -> None:
    export(ExportPlan(url, "csv", str(tmp_path)))
    path = tmp_path / "samples.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = ("key", "text", "name", "shard", "url", "why", "side")
    assert not [r[t] for r in rows for t in texts if r[t].lstrip().startswith(FORMULAS)]
    asked = report.samples.to_pylist()
    assert [r["key"].removeprefix("'") for r in rows] == [r["key"] for r in asked]
    assert sum(r["key"].startswith("'") for r in rows) > 10
    assert [float(r["value"]) for r in rows if r["value"]] == [
        r["value"] for r in asked if r["value"] is not None
    ]
    keys = [r["key"] for r in rows]
    assert list(pd.read_csv(path)["key"]) == keys
    assert pl.read_csv(path, infer_schema_length=None)["key"].to_list() == keys
    assert [k for (k,) in duckdb.sql(f"SELECT key FROM '{path}'").fetchall()] == keys


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "\n1", "＝1"])
def test_what_could_run_comes_after_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe(f"x{text}") == f"x{text}"


def test_wrong_usage_is_refused(url: str, tmp_path: Path) -> None:
    for kind, out, says in (
        ("csv", None, "needs --out"),
        ("mlflow", "x", "takes no --out"),
        ("openlineage", None, "OPENLINEAGE_URL"),
        ("excel", "x", "there is no format excel"),
    ):
        with pytest.raises(UsageError, match=says):
            ExportPlan(url, kind, out)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"has no findings\.json"):
        export(ExportPlan(str(tmp_path), "csv", str(tmp_path / "out")))
    if importlib.util.find_spec("mlflow") is None:
        with pytest.raises(UsageError, match=r"nhd\[mlflow\]"):
            export(ExportPlan(url, "mlflow"))


IMPORT = """
import json, sys
import fiftyone

data = fiftyone.Dataset.from_dir(sys.argv[1], dataset_type=fiftyone.types.FiftyOneDataset)
yellow = data.exists("similarity_yellow")
print(json.dumps({
    "media": data.media_type,
    "paths": data.values("filepath"),
    "keys": data.values("key"),
    "tags": data.values("tags"),
    "reasons": data.values("flagged.classifications.label"),
    "labels": data.values("labels.classifications.label"),
    "strongest": yellow.sort_by("similarity_yellow.value", reverse=True).first().key,
    "broken": len(data) - len(yellow),
}))
"""


FIFTYONE = os.environ.get("FIFTYONE_PYTHON")


@pytest.mark.slow
@pytest.mark.skipif(not FIFTYONE, reason="FIFTYONE_PYTHON names no Python that has FiftyOne")
def test_fiftyone_imports_it(dataset: Path, tmp_path: Path) -> None:
    own = {"FIFTYONE_DATABASE_DIR": str(tmp_path), "FIFTYONE_DO_NOT_TRACK": "true"}
    environment = {**os.environ, **own, "FIFTYONE_DATABASE_VALIDATION": "false"}
    done = subprocess.run(
        [str(FIFTYONE), "-c", IMPORT, str(dataset)],
        env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, written = json.loads(done.stdout.splitlines()[-1]), documents(dataset)
    assert found["media"] == "image" and found["broken"] == 2
    assert found["paths"] == [str(dataset / sample["filepath"]) for sample in written]
    assert found["keys"] == [sample["key"] for sample in written]
    assert found["tags"] == [sample["tags"] for sample in written]
    for name in ("flagged", "labels"):
        labels = [[c["label"] for c in sample[name]["classifications"]] for sample in written]
        assert found["reasons" if name == "flagged" else name] == labels
    values = {s["key"]: s["similarity_yellow"] for s in written}
    assert values[found["strongest"]] is not None


def test_the_command_line_exports(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "OPENLINEAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    done = nhd("export", "--report", url, "--format", "csv", "--out", f"{tmp_path}/out")
    assert done.returncode == 0 and "flagged samples" in done.stdout
    for kind in ("mlflow", "openlineage"):
        assert nhd("export", "--report", url, "--format", kind).returncode == 2
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    assert nhd("export", "--report", url, "--format", "openlineage").returncode == 3
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert nhd("export", "--report", url, "--format", "openlineage").returncode == 0
