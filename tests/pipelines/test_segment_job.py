"""The segmentation job: the same sums however the work is cut up, resumed, and by whom."""

import io
import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from pipelines.errors import Incomplete, UsageError
from pipelines.io import shards
from pipelines.io.listing import expand
from pipelines.io.shards import Sample
from pipelines.run.resources import Resources
from pipelines.segment import units
from pipelines.segment.job import segment
from pipelines.segment.masks import is_mask
from pipelines.segment.options import View
from pipelines.segment.plan import SegmentPlan, settings_of
from pipelines.segment.unit_result import from_bytes
from pipelines.segment.worker import SegmentWorker, Told
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import PARTS

SETTINGS = settings_of(("product", "neurons", "heads"), ("64",), "on")
BARE = View(templates=False)
COUNT = 24


def plan(data: str, out: Path | str, **changes: Any) -> SegmentPlan:
    """A small plan on the shipped weights, in process."""
    given = SegmentPlan(
        data, str(out), "scene-parts", SETTINGS, overlays=1, view=BARE, in_process=True
    )
    return replace(given, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """24 scenes in three shards."""
    folder = tmp_path_factory.mktemp("segment-scenes")
    write_scenes(str(folder), COUNT, seed=9, per_shard=10)
    return f"{folder}/*.tar"


@pytest.fixture(scope="module")
def done(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished segmentation of them."""
    out = tmp_path_factory.mktemp("segment") / "out"
    segment(plan(data, out, maps=True, overlays=3))
    return out


def samples(data: str) -> list[Sample]:
    found = [s for url in expand(data) for s in shards.samples(url, is_mask)]
    assert all(isinstance(s, Sample) for s in found)
    return found  # type: ignore[return-value]


def confusions(out: Path | str) -> pd.DataFrame:
    return pd.read_parquet(f"{out}/confusion.parquet")


def results(out: Path | str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "segmentation.json").read_text())
    return found


def numbers(folder: Path) -> dict[str, np.ndarray]:
    """Maps by key."""
    paths = folder.rglob("*.png")
    return {path.stem: np.asarray(Image.open(path)) for path in paths}


def test_scores_are_those_of_the_maps_that_are_written(data: str, done: Path) -> None:
    maps = numbers(done / "maps")
    truth = {s.key: np.asarray(Image.open(io.BytesIO(s.others["mask.png"]))) for s in samples(data)}
    assert maps.keys() == truth.keys() and len(maps) == COUNT
    true, predicted = (np.stack([d[key] for key in truth]).ravel() for d in (truth, maps))
    first = confusions(done).query("setting == 0")
    table = first.pivot_table(index="truth", columns="predicted", values="pixels", fill_value=0)
    table = table.reindex(index=PARTS, columns=PARTS, fill_value=0).fillna(0)
    wanted = confusion_matrix(true, predicted, labels=range(len(PARTS)))
    np.testing.assert_array_equal(table.to_numpy(), wanted)
    iou = jaccard_score(true, predicted, labels=range(len(PARTS)), average=None)
    found = results(done)["results"][0]
    np.testing.assert_allclose(list(found["iou"].values()), iou)
    np.testing.assert_allclose(found["miou"], iou.mean())
    assert found["low"] <= found["miou"] <= found["high"]
    assert found["miou"] > 0.25, "the tiny model sees more than chance"


def test_rows_of_images_add_up_to_the_classes(done: Path) -> None:
    images = pd.read_parquet(done / "images.parquet")
    classes = pd.read_parquet(done / "classes.parquet")
    assert len(images) == COUNT * len(SETTINGS)
    for setting, rows in images.groupby("setting"):
        hits, union = (np.stack(rows[name]).sum(0) for name in ("intersection", "union"))
        wanted = classes[classes["setting"] == setting]
        np.testing.assert_allclose(hits / union, wanted["iou"])
    by_setting = classes.groupby("setting")["iou"].mean()
    np.testing.assert_allclose(by_setting, [row["miou"] for row in results(done)["results"]])
    assert classes.groupby("setting")["pixels"].sum().nunique() == 1


def test_pictures_open_and_the_page_shows_them(done: Path) -> None:
    paths = sorted((done / "overlays").iterdir())
    assert len(paths) == 3
    sizes = {Image.open(path).size for path in paths}
    assert len(sizes) == 1 and min(sizes)[0] == 2040  # four panels, two rows for five
    kept = [p for f in (done / "units").iterdir() for p in from_bytes(f.read_bytes()).pictures]
    assert [p.image.shape for p in kept] == [(128, 128, 3)] * 3
    assert all(p.maps.shape == (len(SETTINGS), 128, 128) for p in kept)
    page = (done / "index.html").read_text()
    assert page.count("<img ") == 3 + 1  # and the confusion
    best = max(row["miou"] for row in results(done)["results"])
    page = page.replace("\u00a0", " ")
    assert f"{100 * best:.1f} % mIoU" in page and "26.2 %" in page


class Counting(SegmentWorker):
    """The real worker; says what it was given."""

    seen: list[str] = []  # noqa: RUF012 # one list for all that are built

    def work(self, unit: units.Unit) -> Any:
        self.seen.append(unit.id)
        return super().work(unit)


def test_a_folder_of_files_gives_the_same_sums_as_shards(
    data: str, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "FILES", 7)
    for sample in samples(data):
        part = tmp_path / "files" / sample.key[-1]
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{sample.key}.jpg").write_bytes(sample.image)
        name = f"{sample.key}.png" if int(sample.key) % 2 else f"{sample.key}.mask.png"
        (part / name).write_bytes(sample.others["mask.png"])
    found = segment(plan(f"{tmp_path}/files", tmp_path / "out", maps=True))
    assert found["images"] == {"read": COUNT, "measured": COUNT, "unmasked": 0, "rejected": 0}
    pd.testing.assert_frame_equal(confusions(tmp_path / "out"), confusions(done))
    mine, theirs = (numbers(out / "maps") for out in (tmp_path / "out", done))
    assert mine.keys() == theirs.keys()
    assert all((mine[key] == theirs[key]).all() for key in mine)


def test_masks_in_a_folder_of_their_own(data: str, done: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for sample in samples(data):
        (tmp_path / "images" / f"{sample.key}.jpg").write_bytes(sample.image)
        if sample.key.endswith("5"):
            mask = sample.others["mask.png"]
            (tmp_path / "masks" / f"{sample.key}.png").write_bytes(mask)
    asked = plan(f"{tmp_path}/images", tmp_path / "out", masks=f"{tmp_path}/masks")
    assert segment(asked)["images"]["read"] == 2
    (tmp_path / "images" / "extra.jpg").write_bytes(b"")
    (tmp_path / "masks" / "extra.png").write_bytes(b"")
    found = segment(asked)  # the chunk has changed, so it is done again
    assert found["images"] == {"read": 3, "measured": 2, "unmasked": 0, "rejected": 1}
    with pytest.raises(UsageError, match="no mask in"):
        segment(replace(asked, masks=f"{tmp_path}/out/units"))
    with pytest.raises(UsageError, match="--masks is for a folder"):
        segment(replace(asked, data=data))


class Dying(SegmentWorker):
    """Killed, with SIGKILL, on its way through the first unit that any of them gets."""

    def __init__(self, told: Told, folder: str) -> None:
        super().__init__(told)
        self.mark = Path(folder, "died")

    def _segment(self, *arguments: Any) -> None:
        super()._segment(*arguments)
        if self.images == 4 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.cluster
def test_two_actors_one_of_which_is_killed_give_the_same_sums(
    ray: object, data: str, done: Path, tmp_path: Path
) -> None:
    asked = plan(data, tmp_path / "out", in_process=False, resources=Resources(2), maps=True)
    segment(asked, partial(Dying, folder=str(tmp_path)))
    assert (tmp_path / "died").exists()
    pd.testing.assert_frame_equal(confusions(tmp_path / "out"), confusions(done))
    mine, theirs = results(tmp_path / "out"), results(done)
    assert mine["results"] == theirs["results"] and mine["leads"] == theirs["leads"]


def test_only_what_is_missing_or_damaged_is_done_again(
    data: str, done: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    _, gone, torn = sorted((out / "units").iterdir())
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-200])
    Counting.seen.clear()
    asked = plan(data, out, maps=True, overlays=3)
    segment(asked, Counting)
    assert [name.split("-")[1] for name in Counting.seen] == ["000001", "000002"]
    assert results(out)["results"] == results(done)["results"]
    for name in ("confusion", "classes", "images"):
        wanted = pd.read_parquet(done / f"{name}.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(out / f"{name}.parquet"), wanted)
    segment(asked, Counting)
    assert len(Counting.seen) == 2, "a finished run has nothing to do"


def test_another_configuration_is_refused_and_another_input_extends(
    data: str, done: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    for changes in (
        {"settings": SETTINGS[:2]},
        {"classes": "circle,square"},
        {"overlays": 2},
        {"ignore": 99},
    ):
        with pytest.raises(UsageError, match="was made with another configuration"):
            segment(plan(data, out, **{"maps": True, "overlays": 3, **changes}))
    write_scenes(str(tmp_path / "more"), 3, seed=1)
    Counting.seen.clear()
    more = plan(f"{data},{tmp_path}/more/*.tar", out, maps=True, overlays=3)
    found = segment(more, Counting)
    assert found["images"]["measured"] == COUNT + 3 and len(Counting.seen) == 1


def noise(width: int, height: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 60).point(lambda v: v % 18).save(buffer, kind)
    return buffer.getvalue()


def test_what_cannot_be_used_is_a_reject_and_the_rest_is_counted(tmp_path: Path) -> None:
    image, mask = noise(140, 130, "JPEG"), noise(140, 130)
    members = [
        ("good.jpg", image), ("good.mask.png", mask), ("good.depth.png", b"not looked at"),
        ("plain.jpg", image), ("plain.png", mask),
        ("bare.jpg", image),
        ("broken.jpg", image[:300]), ("broken.png", mask),
        ("turned.jpg", image), ("turned.png", noise(130, 140)),
        ("torn.jpg", image), ("torn.png", mask[:-900]),
        ("two.jpg", image), ("two.a.png", mask), ("two.b.png", mask),
        ("text.txt", b""),
    ]  # fmt: skip
    shards.write(str(tmp_path / "a.tar"), members)
    found = segment(plan(f"{tmp_path}/a.tar", tmp_path / "out"))
    assert found["images"] == {"read": 8, "measured": 2, "unmasked": 1, "rejected": 5}
    rejects = pd.read_parquet(tmp_path / "out" / "rejects.parquet").set_index("key")
    assert rejects["reason"].to_dict() == {
        "broken": "undecodable_image",
        "turned": "mask_size",
        "torn": "undecodable_mask",
        "two": "two_masks",
        "text": "no_image",
    }
    assert confusions(tmp_path / "out").groupby("setting")["pixels"].sum().tolist() == [
        2 * 140 * 130
    ] * len(SETTINGS)


def test_an_image_that_would_become_too_long_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (3000, 1)).save(tmp_path / "in" / "thread.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "in" / "dot.jpg")
    counts = segment(plan(str(tmp_path / "in"), tmp_path / "out"))["images"]
    assert counts == {"read": 2, "measured": 0, "unmasked": 1, "rejected": 1}
    assert pd.read_parquet(tmp_path / "out" / "rejects.parquet").reason.tolist() == ["too_long"]


def test_a_file_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "in")
    (tmp_path / "in" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    with pytest.raises(UsageError, match=r"udcff\.jpg' is no UTF-8; rename"):
        segment(plan(str(tmp_path / "in"), tmp_path / "out"))


def test_a_mask_of_no_class_ends_the_job_and_is_named(tmp_path: Path) -> None:
    odd = noise(64, 64)
    shards.write(str(tmp_path / "a.tar"), [("x/7.jpg", noise(64, 64, "JPEG")), ("x/7.png", odd)])
    with pytest.raises(UsageError, match=r"the mask of x/7 in .*a.tar holds class 17.*2 classes"):
        segment(plan(f"{tmp_path}/a.tar", tmp_path / "out", classes="circle,square"))
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_without_masks_there_are_maps_and_no_scores(data: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for sample in samples(data)[:2]:
        (tmp_path / "in" / f"{sample.key}.jpg").write_bytes(sample.image)
    found = segment(plan(f"{tmp_path}/in", tmp_path / "out", maps=True))
    assert found["images"] == {"read": 2, "measured": 0, "unmasked": 2, "rejected": 0}
    assert all(row["miou"] is None for row in found["results"])
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 1
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 2
    page = (tmp_path / "out" / "index.html").read_text()
    assert "2 images in 18 classes" in page and "Areas" in page and ">nan" not in page


def test_a_broken_shard_fails_alone_and_nothing_is_said_before_it_is_mended(
    data: str, tmp_path: Path
) -> None:
    good, bad = expand(data)[2], tmp_path / "bad.tar"
    whole = Path(good).read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    asked = plan(f"{good},{bad}", tmp_path / "out")
    with pytest.raises(Incomplete, match=r"1 of 2 shards failed, first .*bad.tar"):
        segment(asked)
    assert len(list((tmp_path / "out" / "units").iterdir())) == 1
    assert not (tmp_path / "out" / "segmentation.json").exists()
    shutil.copy(expand(data)[0], bad)
    assert segment(asked)["images"]["measured"] == 14
    assert not (tmp_path / "out" / "lock.json").exists()
