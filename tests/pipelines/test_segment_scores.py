"""Scores of segmentation: confusion as scikit-learn counts it, sums that merge, fair intervals."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from pipelines.errors import UsageError
from pipelines.io.rejects import Reject
from pipelines.segment.masks import check_ids, mask_of, read_mask
from pipelines.segment.metrics import confusion, scores
from pipelines.segment.options import Setting
from pipelines.segment.palette import colours, png
from pipelines.segment.plan import settings_of
from pipelines.segment.resamples import Resamples
from pipelines.segment.worker import file_name


def maps(seed: int, classes: int, ignored: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Random truth, with -1 for what does not count, and a prediction that is often right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (9, 13)) // rng.integers(1, 3)  # some classes may be missing
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, classes))
    return np.where(rng.random(truth.shape) < ignored, -1, truth), predicted


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 12))
def test_confusion_and_iou_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    truth, predicted = maps(seed, classes)
    known = truth >= 0
    counts = confusion(truth, predicted, classes)
    wanted = confusion_matrix(truth[known], predicted[known], labels=range(classes))
    np.testing.assert_array_equal(counts, wanted)
    occur = sorted({*truth[known].tolist(), *predicted[known].tolist()})
    iou = jaccard_score(truth[known], predicted[known], labels=occur, average=None)
    found = scores(counts)
    np.testing.assert_allclose(found.iou[occur], iou)
    assert np.isnan(np.delete(found.iou, occur)).all()
    np.testing.assert_allclose(found.mean_iou, iou.mean())
    np.testing.assert_allclose(found.pixel_accuracy, (truth == predicted)[known].mean())


def test_confusions_of_parts_add_up_and_ignored_pixels_count_for_nothing() -> None:
    truth, predicted = maps(3, 6)
    parts = [confusion(truth[i : i + 2], predicted[i : i + 2], 6) for i in range(0, 9, 2)]
    np.testing.assert_array_equal(sum(parts), confusion(truth, predicted, 6))
    other = np.where(truth < 0, (predicted + 1) % 6, predicted)
    np.testing.assert_array_equal(confusion(truth, other, 6), confusion(truth, predicted, 6))
    assert confusion(truth, predicted, 6).sum() == (truth >= 0).sum()


def test_a_perfect_map_scores_one_and_nothing_scores_nothing() -> None:
    truth, _ = maps(1, 5, ignored=0)
    found = scores(confusion(truth, truth, 5))
    present = np.unique(truth)
    np.testing.assert_array_equal(found.iou[present], 1)
    assert found.mean_iou == found.mean_accuracy == found.pixel_accuracy == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = scores(np.zeros((3, 4, 4), np.int64))
    assert np.isnan(empty.mean_iou).all() and np.isnan(empty.pixel_accuracy).all()


def drawn(images: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, hits, unions [N,2,3] and truth [N,3]; the first setting is better by a little."""
    rng = np.random.default_rng(0)
    truth = rng.integers(20, 60, (images, 3))
    hits = np.stack([truth * 0.7, truth * 0.6], 1) + rng.normal(0, 6, (images, 2, 3))
    union = truth[:, None] * 1.3 + rng.normal(0, 6, (images, 2, 3))
    return [f"{i:05d}" for i in range(images)], hits, union, truth


def test_intervals_do_not_depend_on_order_or_grouping_and_shrink_with_images() -> None:
    names, hits, union, truth = drawn(200)
    whole, parts = Resamples(2, 3), Resamples(2, 3)
    whole.add(names, hits, union, truth)
    for rows in (slice(150, 200), slice(0, 7), slice(7, 150)):
        parts.add(names[rows], hits[rows], union[rows], truth[rows])
    np.testing.assert_allclose(parts.sums, whole.sums)
    np.testing.assert_allclose(parts.halves, whole.halves)
    point = (hits.sum(0) / union.sum(0)).mean(1)  # [2]
    widths = []
    for setting in (0, 1):
        low, high = whole.interval(setting)
        assert low < point[setting] < high
        widths.append(high - low)
    low, high = whole.difference(0, 1)
    assert 0 < low < point[0] - point[1] < high
    assert whole.difference(1, 1) == (0, 0)
    few = Resamples(2, 3)
    few.add(names[:20], hits[:20], union[:20], truth[:20])
    assert np.diff(few.interval(0)) > 2 * widths[0]


def test_the_interval_is_that_of_the_sampling_distribution() -> None:
    """Its width is 2·1.96 standard errors, known here by drawing the data set again and again."""
    names, hits, union, truth = drawn(4000)
    split = [slice(i, i + 100) for i in range(0, 4000, 100)]
    means = [float((hits[s, 0].sum(0) / union[s, 0].sum(0)).mean()) for s in split]
    found = []
    for rows in split[:10]:
        one = Resamples(2, 3)
        one.add(names[rows], hits[rows], union[rows], truth[rows])
        low, high = one.interval(0)
        found.append(high - low)
    assert np.mean(found) == pytest.approx(2 * 1.96 * np.std(means, ddof=1), rel=0.3)


def test_a_setting_chosen_on_other_images_is_that_setting_if_there_is_no_choice() -> None:
    names, hits, union, truth = drawn(100)
    sums = Resamples(2, 3)
    sums.add(names, hits, union, truth)
    point = (hits.sum(0) / union.sum(0)).mean(1)
    assert sums.held_out([1]) == pytest.approx(point[1])
    assert sums.held_out([0, 1]) == pytest.approx(point[0])  # better on both halves
    lonely = Resamples(2, 3)
    lonely.add(names[:1], hits[:1], union[:1], truth[:1])
    assert np.isnan(lonely.held_out([0, 1]))


@pytest.mark.parametrize("classes", [2, 20, 21, 150, 254])
def test_a_map_as_png_holds_the_ids_and_a_colour_for_each(classes: int) -> None:
    ids = np.random.default_rng(0).integers(0, classes, (7, 11)).astype(np.uint8)
    data = png(ids, classes)
    read = read_mask("a", data, (11, 7))
    np.testing.assert_array_equal(read, ids)
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(shown, colours(classes)[ids])
    assert len({tuple(colour) for colour in colours(classes).tolist()}) == classes


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", "undecodable_mask", "0 bytes"),
        (encoded(Image.effect_noise((64, 64), 80))[:-500], "undecodable_mask", "truncated"),
        (encoded(Image.new("RGB", (4, 3))), "undecodable_mask", "mode RGB"),
        (encoded(Image.new("L", (4, 3)), "JPEG"), "undecodable_mask", "JPEG"),
        (encoded(Image.new("L", (3, 4))), "mask_size", "3 x 4, but the image is 4 x 3"),
    ],
    ids=["empty", "cut", "colours", "jpeg", "turned"],
)
def test_a_mask_that_is_none_is_a_reject(data: bytes, reason: str, says: str) -> None:
    found = read_mask("a", data, (4, 3))
    assert isinstance(found, Reject)
    assert found.reason == reason and says in found.detail


def test_masks_of_sixteen_bits_are_read_and_ids_of_no_class_are_named() -> None:
    deep = encoded(Image.fromarray(np.full((3, 4), 300, np.uint16)))
    ids = read_mask("a", deep, (4, 3))
    assert not isinstance(ids, Reject) and (ids == 300).all()
    with pytest.raises(UsageError, match=r"the mask of x/7 .* holds class 300.*from 0 to 17"):
        check_ids("x/7 in a.tar", ids, 18, 255)
    assert (check_ids("a", ids, 18, 300) == -1).all()


def test_which_member_is_the_mask() -> None:
    assert mask_of([]) is None
    assert mask_of(["seg.png"]) == "seg.png"
    assert mask_of(["png", "mask.png", "depth.png"]) == "mask.png"
    with pytest.raises(ValueError, match=r"depth.png, png"):
        mask_of(["png", "depth.png"])


@pytest.mark.parametrize(
    "key", ["../../a", "/etc/passwd", "a/../../b", "..", "x\0y", "", "é/ü" * 99]
)
def test_a_key_never_leads_out_of_its_folder(key: str, tmp_path: Path) -> None:
    place = (tmp_path / "maps" / f"{file_name(key)}.png").resolve()
    assert place.is_relative_to(tmp_path / "maps") and place.suffix == ".png"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"")


def test_different_keys_have_different_files() -> None:
    keys = ["a", "/a", "./a", "../a", "_/a", ".a", "_a", "%2Ea", "", "_", "a//b", "a/b", "x" * 99]
    assert len({file_name(key) for key in keys}) == len(keys)


def test_settings_are_every_method_at_every_k_once() -> None:
    found = settings_of(("product", "maskclip"), ("64", "paper"), "both")
    wanted = [("product", 64), ("product", 0), ("maskclip", 0)]
    assert [(s.method, s.top_pairs) for s in found] == wanted * 2
    assert [s.sink_repair for s in found] == [True] * 3 + [False] * 3
    units = settings_of(("product", "maskclip"), ("64",), unit_tokens="both")
    assert [(s.method, s.unit_tokens) for s in units] == [
        ("product", True),
        ("maskclip", False),
        ("product", False),
    ]
    assert settings_of(("maskclip",), (), "on") == (Setting("maskclip"),)
    for methods, pairs in ((("nope",), ("1",)), (("product",), ("0",)), (("product",), ("-3",))):
        with pytest.raises(UsageError):
            settings_of(methods, pairs, "on")
    with pytest.raises(UsageError, match="nothing to do"):
        settings_of(("product",), (), "on")


def grey_png(depth: int, ids: np.ndarray) -> bytes:
    """A grey PNG of few bits, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    bits = np.unpackbits(ids.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
    lines = np.packbits(bits.reshape(len(ids), -1), axis=1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], depth, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_masks_of_few_bits_keep_their_ids(depth: int) -> None:
    ids = np.random.default_rng(depth).integers(0, 2**depth, (7, 11))
    np.testing.assert_array_equal(read_mask("a", grey_png(depth, ids), (11, 7)), ids)
