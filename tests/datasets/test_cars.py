"""Stanford Cars with refined colours: fields, labels, and what is left out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobs.cli import main
from pipelines.datasets.car_names import parts
from pipelines.datasets.dataset import Options
from pipelines.datasets.prepare import PreparePlan, prepare
from pipelines.errors import UsageError
from pipelines.io.classes import read_classes
from pipelines.io.store import Run
from tests.datasets.miniatures import car_annotations, jpeg, mat, put, samples, write_csv

NAMES = (
    "AM General Hummer SUV 2000",
    "Acura TL Type-S 2008",
    "Aston Martin V8 Vantage Convertible 2012",
    "Ram C/V Cargo Van Minivan 2012",
)
TRAIN = [("00001.jpg", 3), ("00002.jpg", 1), ("00003.jpg", 2), ("00004.jpg", 4), ("00005.jpg", 1)]
COLOURS = {"00001.jpg": "3_9", "00002.jpg": "1_0", "00004.jpg": "4_7", "00005.jpg": "2_9"}
HEADER = "x1,y1,x2,y2,Class,image,Probability"
IMAGES = {name: jpeg(i) for i, (name, _) in enumerate(TRAIN)}


def torchvision_layout(root: Path) -> Path:
    """stanford_cars/ with cars_train and devkit, cars_refined/ beside it: the paper's code's."""
    top = root / "stanford_cars"
    for name, data in IMAGES.items():
        put(top / "cars_train" / name, data)
        put(top / "cars_test" / name, data)
    put(top / "devkit/cars_train_annos.mat", car_annotations(TRAIN))
    put(top / "devkit/cars_test_annos.mat", car_annotations(TRAIN, labels=False))
    put(top / "cars_test_annos_withlabels.mat", car_annotations(TRAIN[:3]))
    names = np.empty((1, len(NAMES)), object)
    names[0] = NAMES
    put(top / "devkit/cars_meta.mat", mat(class_names=names))
    rows = [(39, 116, 569, 375, label, name, 0.9) for name, label in COLOURS.items()]
    write_csv(root / "cars_refined/refined_train.csv", HEADER, rows)
    return top


def kaggle_layout(root: Path) -> None:
    """Every folder inside another of its name, the colours in the clone of their repository."""
    top = torchvision_layout(root / "elsewhere")
    shutil.copytree(top / "cars_train", root / "cars_train/cars_train")
    shutil.copytree(top / "devkit", root / "car_devkit/devkit")
    clone = root / "stanford_cars_refined/data"
    shutil.copytree(root / "elsewhere/cars_refined", clone)
    shutil.rmtree(root / "elsewhere")


def run(tmp_path: Path, options: Options | None = None) -> dict[str, object]:
    out = str(tmp_path / "out")
    return prepare(PreparePlan("cars", str(tmp_path / "source"), out, options or Options()))


@pytest.mark.parametrize("layout", [torchvision_layout, kaggle_layout])
def test_fields_and_images_are_those_of_the_download(
    layout: Callable[[Path], object], tmp_path: Path
) -> None:
    layout(tmp_path / "source")
    done = run(tmp_path)
    found = {s.key: s for s in samples(tmp_path / "out")}
    assert found.keys() == {"00001", "00002", "00004"}
    assert all(s.image == IMAGES[f"{key}.jpg"] for key, s in found.items())
    assert done["left_out"] == {
        "00003": "has no colour label",
        "00005": "is another model in the file of colour labels",
    }
    aston = found["00001"].fields
    assert aston["class"] == NAMES[2] and aston["class_index"] == 2
    assert (aston["make"], aston["type"], aston["year"]) == ("Aston Martin", "convertible", 2012)
    assert aston["convertible"] and not aston["suv"] and aston["yellow"] and not aston["black"]
    assert aston["colour"] == "yellow" and aston["box"] == [3, 4, 40, 30]
    assert found["00002"].fields["colour"] == "black" and found["00002"].fields["suv"]
    assert found["00004"].fields["colour"] == "silver" and found["00004"].fields["minivan"]
    assert read_classes(str(tmp_path / "out/classes.json")).names == NAMES


def test_labels_go_through_extraction(tmp_path: Path) -> None:
    torchvision_layout(tmp_path / "source")
    run(tmp_path)
    runs = str(tmp_path / "run")
    command = ["extract", "--data", f"{tmp_path}/out/*.tar", "--out", runs, "--columns", "colour"]
    main([*command, "--labels", "yellow,convertible", "--pretrained", "none", "--in-process"])
    rows = {row["key"]: row for row in Run(runs).images().to_pylist()}
    assert {key: row["colour"] for key, row in rows.items()} == {
        "00001": "yellow",
        "00002": "black",
        "00004": "silver",
    }
    counts = Run(runs).moments().labels.count1
    assert counts.tolist() == [1, 1]


def test_the_test_split_has_no_colours(tmp_path: Path) -> None:
    torchvision_layout(tmp_path / "source")
    assert not run(tmp_path, Options("test"))["left_out"]
    found = samples(tmp_path / "out")
    assert [s.key for s in found] == ["00001", "00002", "00003"]
    assert "colour" not in found[0].fields and found[0].fields["split"] == "test"


def test_colours_can_be_elsewhere_or_done_without(tmp_path: Path) -> None:
    torchvision_layout(tmp_path / "source")
    moved = (tmp_path / "source/cars_refined/refined_train.csv").rename(tmp_path / "mine.csv")
    with pytest.raises(UsageError, match=r"has no refined_train.csv .* it comes with the repos"):
        run(tmp_path)
    assert len(run(tmp_path, Options(colours=str(moved)))["left_out"]) == 2  # type: ignore[arg-type]
    shutil.rmtree(tmp_path / "out")
    assert run(tmp_path, Options(colours="none"))["images"] == len(TRAIN)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("devkit/cars_meta.mat", "no devkit/cars_meta.mat .* it comes with car_devkit.tgz"),
        ("devkit/cars_train_annos.mat", "no devkit/cars_train_annos.mat"),
        ("cars_train/00004.jpg", "has no 00004.jpg; it comes with cars_train.tgz"),
    ],
)
def test_a_missing_file_is_named(spoil: str, says: str, tmp_path: Path) -> None:
    (torchvision_layout(tmp_path / "source") / spoil).unlink()
    with pytest.raises(UsageError, match=says):
        run(tmp_path)


def test_malformed_files_are_refused(tmp_path: Path) -> None:
    top = torchvision_layout(tmp_path / "source")
    table = tmp_path / "source/cars_refined/refined_train.csv"
    for header, label, says in (
        (HEADER, "3_10", "image 00001.jpg has the class '3_10'"),
        (HEADER, "yellow", "has the class 'yellow'"),
        ("a,b", "", "has not the columns Class and image"),
    ):
        write_csv(table, header, [(1, 2, 3, 4, label, "00001.jpg", 0.5)])
        with pytest.raises(UsageError, match=says):
            run(tmp_path)
    put(top / "devkit/cars_train_annos.mat", b"no matlab")
    with pytest.raises(UsageError, match="is no MATLAB file"):
        run(tmp_path, Options(colours="none"))
    put(top / "devkit/cars_train_annos.mat", car_annotations(TRAIN, labels=False))
    with pytest.raises(UsageError, match="has not the fields"):
        run(tmp_path, Options(colours="none"))
    put(top / "devkit/cars_train_annos.mat", car_annotations([("00001.jpg", 5)]))
    with pytest.raises(UsageError, match="has class 5, but there are 4"):
        run(tmp_path, Options(colours="none"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ford F-450 Super Duty Crew Cab 2012", ("Ford", "pickup", 2012)),
        ("Dodge Caliber Wagon 2007", ("Dodge", "wagon", 2007)),
        ("Land Rover Range Rover SUV 2012", ("Land Rover", "suv", 2012)),
        ("Chevrolet Express Van 2007", ("Chevrolet", "van", 2007)),
        ("Acura TL Type-S 2008", ("Acura", None, 2008)),
    ],
)
def test_names_are_taken_apart(name: str, expected: tuple[str, str | None, int]) -> None:
    assert parts(name) == expected
