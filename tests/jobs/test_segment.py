"""`nhd segment` on the command line: what it prints, and its exit codes."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.io.store import Run
from pipelines.run import lock
from pipelines.tiny.dataset import write_scenes
from tests.jobs.test_cli import nhd

FEW = ("--methods", "product,heads", "--top-pairs", "64", "--bare-texts", "--in-process")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(str(folder), 4, seed=2, per_shard=2)
    return folder


def test_segment_prints_its_scores_and_refuses_what_it_should(data: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    found = nhd("segment", "--data", f"{data}/*.tar", "--out", out, *FEW)
    assert found.returncode == 0, found.stderr
    assert "2 shards" in found.stdout and "images/s; read" in found.stdout
    assert "4 measured, 0 unmasked, 0 rejected, of 4 read" in found.stdout
    first = json.loads((tmp_path / "out" / "segmentation.json").read_text())["results"][0]
    assert first["name"] == "product, k = 64"
    assert f"product, k = 64: {100 * first['miou']:.1f} % mIoU" in found.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<img ") == 4 + 1 and "How many pairs" not in page
    other = nhd("segment", "--data", f"{data}/*.tar", "--out", out, *FEW, "--stride", "0.25")
    assert other.returncode == 2 and "another configuration: view was" in other.stderr
    with lock.held(Run(out), print):
        locked = nhd("segment", "--data", f"{data}/*.tar", "--out", out, *FEW)
    assert locked.returncode == 4 and "is being written by process" in locked.stderr


def test_a_broken_shard_exits_with_3_until_it_is_mended(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "in")
    (tmp_path / "in" / "b.tar").write_bytes(b"no tar" * 100)
    out = str(tmp_path / "out")
    asked = ("segment", "--data", f"{tmp_path}/in/*.tar", "--out", out, *FEW)
    asked += ("--top-pairs", "16,64", "--overlays", "0")
    found = nhd(*asked)
    assert found.returncode == 3 and "1 of 3 shards failed" in found.stderr
    shutil.copy(tmp_path / "in" / "scenes-000000.tar", tmp_path / "in" / "b.tar")
    mended = nhd(*asked)
    assert mended.returncode == 0 and "2 of 3 already done" in mended.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<img ") == 2 and "How many pairs" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data", "/nowhere/*.tar"), "no shard matches"),
        (("--data", "/etc/ssl"), "no image"),
        (("--methods", "both"), "'both' is no method"),
        (("--top-pairs", "many"), "'many' is no number of pairs"),
        (("--top-pairs", "999999"), "the model has 4096"),
        (("--classes", "zebra,lion"), "does not know the word"),
        (("--ignore", "3"), "--ignore 3 is the number of a class"),
        (("--model", "RN50", "--pretrained", "none"), "give --classes"),
        (("--overlays", "-1"), "--overlays must not be negative"),
        (("--stride", "0"), "stride"),
    ],
)
def test_wrong_usage_exits_with_2(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    given = {"--data": f"{data}/*.tar", "--out": str(tmp_path / "out")}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    flat = [text for pair in given.items() for text in pair]
    found = nhd("segment", *flat, "--in-process")
    assert found.returncode == 2 and says in found.stderr, found.stderr
    assert not list(tmp_path.rglob("*.npz"))
