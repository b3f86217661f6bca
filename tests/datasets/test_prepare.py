"""Shards from datasets: cut and resumed as promised, and read by the rest of nhd."""

import json
from pathlib import Path

import fsspec
import pytest

from jobs.cli import main
from pipelines.datasets.prepare import PreparePlan, prepare
from pipelines.datasets.registry import READERS
from pipelines.errors import UsageError
from pipelines.io import shards
from pipelines.io.store import Run
from tests.datasets.miniatures import jpeg, put, samples
from tests.datasets.test_segmentation_sets import ade20k, context


def plan(tmp_path: Path, **changes: object) -> PreparePlan:
    given = {
        "dataset": "ade20k",
        "source": str(tmp_path / "source"),
        "out": str(tmp_path / "out"),
        "per_shard": 1,
        "in_process": True,
    }
    return PreparePlan(**{**given, **changes})  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def test_only_missing_shards_are_written_again_and_are_the_same(tmp_path: Path) -> None:
    ade20k(tmp_path / "source")
    prepare(plan(tmp_path))
    first = contents(tmp_path / "out")
    assert sorted(first) == [f"ade20k-val-00000{i}.tar" for i in range(3)]
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tar")}
    gone = tmp_path / "out/ade20k-val-000001.tar"
    gone.unlink()
    (tmp_path / "out/classes.json").unlink()
    done = prepare(plan(tmp_path))
    assert contents(tmp_path / "out") == first and (tmp_path / "out/classes.json").is_file()
    assert {p for p, t in written.items() if p.stat().st_mtime_ns != t} == {gone}
    assert done["complete"] and done["images"] == 3 and done["shards"] == 3


@pytest.mark.slow
def test_ray_tasks_write_the_same_bytes_and_their_errors_arrive(
    ray: object, tmp_path: Path
) -> None:
    ade20k(tmp_path / "source")
    prepare(plan(tmp_path))
    prepare(plan(tmp_path, out=str(tmp_path / "tasks"), in_process=False))
    assert contents(tmp_path / "tasks") == contents(tmp_path / "out")
    (mask,) = (tmp_path / "source").rglob("annotations/validation/ADE_val_00000002.png")
    mask.write_bytes(b"no mask")
    with pytest.raises(UsageError, match=r"ADE_val_00000002\.png is no undamaged PNG"):
        prepare(plan(tmp_path, out=str(tmp_path / "broken"), in_process=False))


def test_shards_are_cut_by_number_and_bytes(tmp_path: Path) -> None:
    images, _ = ade20k(tmp_path / "source")
    most = max(len(data) for data in images.values())
    for changes, cuts in (
        ({"per_shard": 2}, [2, 1]),
        ({"per_shard": 9}, [3]),
        ({"per_shard": 9, "shard_bytes": 2 * most}, [2, 1]),
        ({"per_shard": 9, "shard_bytes": 1}, [1, 1, 1]),
    ):
        out = tmp_path / "-".join(map(str, changes.values()))
        prepare(plan(tmp_path, out=str(out), **changes))
        found = [len([*shards.samples(str(path))]) for path in sorted(out.glob("*.tar"))]
        assert found == cuts
        assert [s.key for s in samples(out)] == sorted(images)


def test_a_limit_is_spread_over_the_dataset_and_recorded(tmp_path: Path) -> None:
    for i in range(6):
        put(tmp_path / f"source/val/n01440764/ILSVRC2012_val_{i:08d}.JPEG", jpeg(i))
    done = prepare(plan(tmp_path, dataset="imagenet", limit=3))
    assert [s.key[-1] for s in samples(tmp_path / "out")] == ["0", "2", "4"]
    assert (done["images"], done["not_taken"], done["images_published"]) == (3, 3, 50_000)


def test_another_source_or_folder_is_refused(tmp_path: Path) -> None:
    ade20k(tmp_path / "source")
    prepare(plan(tmp_path))
    with pytest.raises(UsageError, match="with per_shard 1, not 2; give another --out"):
        prepare(plan(tmp_path, per_shard=2))
    context(tmp_path / "source")
    with pytest.raises(UsageError, match="was prepared with dataset ade20k, not context59"):
        prepare(plan(tmp_path, dataset="context59"))
    (image,) = (tmp_path / "source").rglob("ADE_val_00000002.jpg")
    image.write_bytes(jpeg(77))
    with pytest.raises(UsageError, match=r"and that is not what .*source holds now; give another"):
        prepare(plan(tmp_path))
    put(tmp_path / "other/strange.tar", b"")
    with pytest.raises(UsageError, match=r"shards of unknown origin, such as strange.tar"):
        prepare(plan(tmp_path, out=str(tmp_path / "other")))


def test_shards_can_lie_on_any_store(tmp_path: Path) -> None:
    ade20k(tmp_path / "source")
    prepare(plan(tmp_path))
    url = f"memory://{tmp_path.name}"
    for _ in range(2):
        assert prepare(plan(tmp_path, out=url))["complete"]
    for name, data in contents(tmp_path / "out").items():
        with fsspec.open(f"{url}/{name}") as file:
            assert file.read() == data


def test_a_moved_source_is_the_same_source(tmp_path: Path) -> None:
    ade20k(tmp_path / "source")
    prepare(plan(tmp_path))
    (tmp_path / "source").rename(tmp_path / "moved")
    assert prepare(plan(tmp_path, source=str(tmp_path / "moved")))["complete"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset": "cifar"}, "there is no dataset 'cifar', but imagenet"),
        ({"source": "/nowhere"}, "is no local folder"),
        ({"per_shard": 0}, "must be at least 1"),
    ],
)
def test_wrong_usage_is_refused(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(UsageError, match=says):
        prepare(plan(tmp_path, **changes))


def test_prepared_shards_go_through_extraction(tmp_path: Path) -> None:
    images, _ = ade20k(tmp_path / "source")
    out, run = str(tmp_path / "out"), str(tmp_path / "run")
    main(["prepare", "ade20k", "--source", str(tmp_path / "source"), "--out", out, "--in-process"])
    extract = ["extract", "--data", f"{out}/*.tar", "--out", run, "--columns", "split"]
    main([*extract, "--pretrained", "none", "--in-process"])
    rows = Run(run).images().to_pylist()
    assert {row["key"] for row in rows} == set(images)
    assert all(row["split"] == "val" and (row["width"], row["height"]) == (48, 32) for row in rows)


def test_the_command_knows_the_registered_datasets_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typing import get_args

    from jobs.commands.prepare import Name

    assert set(get_args(Name)) == set(READERS)
    command = ["prepare", "ade20k", "--source", str(tmp_path / "source"), "--in-process"]
    (tmp_path / "source").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "o")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "has no images/validation; it comes with ADEChallengeData2016.zip" in said
    ade20k(tmp_path / "source")
    main([*command, "--out", str(tmp_path / "o")])
    assert "3 of the 2000 published images" in capsys.readouterr().out
    assert json.loads((tmp_path / "o/dataset.json").read_text())["complete"]
