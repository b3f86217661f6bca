"""ImageNet in each of its published forms: the same shards, with the usual class indices."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.imagenet import synsets
from pipelines.datasets.prepare import PreparePlan, prepare
from pipelines.errors import UsageError
from tests.datasets.miniatures import jpeg, meta_mat, pack, put, samples, write_csv

TRUTH = {  # image number → WordNet id and what everyone takes for its class index
    1: ("n02123045", 281),
    2: ("n15075141", 999),
    3: ("n01440764", 0),
    4: ("n02123045", 281),
    5: ("n02504458", 386),
}
IMAGES = {f"ILSVRC2012_val_{number:08d}": jpeg(number) for number in TRUTH}


@pytest.fixture(scope="module")
def devkit() -> dict[str, bytes]:
    """The devkit's files, with ids in an order that is not that of WordNet ids."""
    wnids = np.random.default_rng(0).permutation(synsets()).tolist()
    ids = [wnids.index(wnid) + 1 for wnid, _ in TRUTH.values()]
    assert ids != [index + 1 for _, index in TRUTH.values()]
    return {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(wnids),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "".join(
            f"{i}\n" for i in ids
        ).encode(),
    }


def by_class(root: Path, devkit: dict[str, bytes]) -> None:
    for (wnid, _), (key, data) in zip(TRUTH.values(), IMAGES.items(), strict=True):
        put(root / "val" / wnid / f"{key}.JPEG", data)


def flat(root: Path, devkit: dict[str, bytes]) -> None:
    for key, data in IMAGES.items():
        put(root / "val" / f"{key}.JPEG", data)
    put(root / "val" / "._ILSVRC2012_val_00000001.JPEG", b"what macOS leaves")
    for name, data in devkit.items():
        put(root / name, data)


def archives(root: Path, devkit: dict[str, bytes]) -> None:
    members = {f"{key}.JPEG": data for key, data in reversed(IMAGES.items())}
    pack(root / "ILSVRC2012_img_val.tar", members)
    pack(root / "ILSVRC2012_devkit_t12.tar.gz", devkit, "w:gz")


def kaggle(root: Path, devkit: dict[str, bytes]) -> None:
    for key, data in IMAGES.items():
        put(root / "ILSVRC/Data/CLS-LOC/val" / f"{key}.JPEG", data)
    rows = [
        (key, f"{wnid} 111 108 441 193 {wnid} 1 2 3 4 ")
        for key, (wnid, _) in reversed([*zip(IMAGES, TRUTH.values(), strict=True)])
    ]
    write_csv(root / "LOC_val_solution.csv", "ImageId,PredictionString", rows)


def timm_shards(root: Path, devkit: dict[str, bytes]) -> None:
    parts: list[dict[str, bytes]] = [{}, {}]
    for i, (key, data) in enumerate(IMAGES.items()):
        index = TRUTH[i + 1][1]
        parts[i % 2] |= {
            f"{key}.cls": str(index).encode(),
            f"{key}.jpg": data,
            f"{key}.json": b"{}",
        }
    for i, part in enumerate(parts):
        pack(root / f"imagenet1k-validation-{i:02d}.tar", part)
    pack(root / "imagenet1k-train-0000.tar", {"a.cls": b"1", "a.jpg": jpeg(99)})


LAYOUTS = [by_class, flat, archives, kaggle, timm_shards]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_form_gives_the_same_shards(
    layout: object, devkit: dict[str, bytes], tmp_path: Path
) -> None:
    by_class(tmp_path / "first", devkit)
    layout(tmp_path / "second", devkit)  # type: ignore[operator]
    for name in ("first", "second"):
        plan = PreparePlan("imagenet", str(tmp_path / name), str(tmp_path / f"{name}-out"))
        prepare(plan)
    shard = "imagenet-val-000000.tar"
    first, second = tmp_path / "first-out", tmp_path / "second-out"
    assert (first / shard).read_bytes() == (second / shard).read_bytes()
    found = samples(second)
    assert {s.key: s.image for s in found} == IMAGES
    truth = dict(zip(IMAGES, TRUTH.values(), strict=True))
    for sample in found:
        assert (sample.fields["wnid"], sample.fields["class_index"]) == truth[sample.key]
    names = {s.fields["class_index"]: s.fields["class"] for s in found}
    assert names[0] == "tench" and "elephant" in names[386]


def no_labels(root: Path, devkit: dict[str, bytes]) -> None:
    flat(root, {})


def other_class(root: Path, devkit: dict[str, bytes]) -> None:
    put(root / "val/n00000001/ILSVRC2012_val_00000001.JPEG", jpeg(1))


def too_few_labels(root: Path, devkit: dict[str, bytes]) -> None:
    archives(root, {k: v[:-4] if k.endswith("txt") else v for k, v in devkit.items()})


def no_meta(root: Path, devkit: dict[str, bytes]) -> None:
    archives(root, {k: v for k, v in devkit.items() if k.endswith("txt")})


def cut_tar(root: Path, devkit: dict[str, bytes]) -> None:
    archives(root, devkit)
    path = root / "ILSVRC2012_img_val.tar"
    path.write_bytes(path.read_bytes()[:1500])


def no_line(root: Path, devkit: dict[str, bytes]) -> None:
    kaggle(root, devkit)
    text = (root / "LOC_val_solution.csv").read_text().splitlines()
    (root / "LOC_val_solution.csv").write_text("\n".join(text[:-1]))


def no_class_member(root: Path, devkit: dict[str, bytes]) -> None:
    pack(root / "val-0.tar", {"a.jpg": jpeg(1), "a.cls": b"7", "b.jpg": jpeg(2)})


def not_a_class(root: Path, devkit: dict[str, bytes]) -> None:
    pack(root / "val-0.tar", {"a.jpg": jpeg(1), "a.cls": b"1000"})


def nothing(root: Path, devkit: dict[str, bytes]) -> None:
    root.mkdir()


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (no_labels, "has no ILSVRC2012_devkit_t12.tar.gz"),
        (other_class, "is none of the 1,000 classes"),
        (too_few_labels, "has 4 lines, but there is an image ILSVRC2012_val_00000005"),
        (no_meta, "has no meta.mat"),
        (cut_tar, "download it again"),
        (no_line, "has no line for ILSVRC2012_val_00000001"),
        (no_class_member, "sample b of .* has no .cls"),
        (not_a_class, "which is no class from 0 to 999"),
        (nothing, "holds no ImageNet validation images"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_missing_is_said(
    layout: object, says: str, devkit: dict[str, bytes], tmp_path: Path
) -> None:
    layout(tmp_path / "source", devkit)  # type: ignore[operator]
    with pytest.raises(UsageError, match=says):
        prepare(PreparePlan("imagenet", str(tmp_path / "source"), str(tmp_path / "out")))
    assert not list(tmp_path.glob("out/*"))
