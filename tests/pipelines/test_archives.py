"""Any archive, however hostile: samples, rejects or one ShardError, in bounded time and memory."""

import gzip
import io
import json
import random
import re
import tarfile
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import ShardError
from pipelines.extract.job import _identity, _settings
from pipelines.extract.settings import Group
from pipelines.extract.worker import Extractor
from pipelines.io import archive, commit, shards
from pipelines.io.consistency import checked
from pipelines.io.files import write_json
from pipelines.io.listing import expand
from pipelines.io.rejects import REASONS, Reject
from pipelines.io.shards import Sample
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan

Entry = tuple[str, bytes]
MARK = bytes(1024)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A tar header that may lie about its size."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")


def zipped(data: bytes) -> bytes:
    """The same each time."""
    return gzip.compress(data, 1, mtime=0)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def packed(*entries: Entry) -> bytes:
    """The entries of a tar, without an end mark."""
    return b"".join(header(name, len(data)) + padded(data) for name, data in entries)


def read(folder: Path, data: bytes, name: str = "a.tar") -> list[Sample | Reject]:
    (folder / name).write_bytes(data)
    return list(shards.samples(str(folder / name)))


def outcomes(found: list[Sample | Reject]) -> list[tuple[str, str]]:
    return [(item.key, item.reason if isinstance(item, Reject) else "row") for item in found]


GOOD = packed(("1.jpg", b"one"), ("2.jpg", b"two"), ("3.jpg", b"three" * 300))
DAMAGED = bytearray(GOOD + MARK)
DAMAGED[1024 + 3] ^= 1  # in the name of the second header, which its checksum no longer fits
BOMB = zipped(header("bomb", 1 << 26, tarfile.GNUTYPE_LONGNAME) + bytes(1 << 26))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no tar archive .empty file"),
        (b"<html>404 Not Found</html>" * 40, "no tar archive .invalid header"),
        (random.Random(0).randbytes(5000), "no tar archive .invalid header"),
        (zipped(b"no tar"), "no tar archive .truncated header"),
        (zipped(GOOD + MARK)[:-9], "ended before the end-of-stream"),
        (zipped(GOOD + MARK) + b"trailing", "gzip"),
        (GOOD[:600], "cut off|end of data"),
        (GOOD[:-100], "cut off|end of data"),
        (GOOD, "no end-of-archive mark"),
        (GOOD + bytes(512), "no end-of-archive mark"),
        (bytes(512), "no end-of-archive mark"),
        (bytes(DAMAGED), "data after byte 1024, where it ends"),
        (GOOD + MARK + GOOD + MARK, "several archives were joined"),
        (GOOD + MARK + b"x", "data after byte"),
        (GOOD + header("big.jpg", 10**12) + bytes(512) + MARK, "more than there is"),
        (GOOD + header("big.jpg", 10**24) + bytes(512) + MARK, "more than there is"),
        (GOOD + header("big.jpg", -512) + MARK, "big.jpg is cut off"),
        (BOMB, "a header has over 2097152 bytes"),
        (header("l", 512, tarfile.GNUTYPE_LONGNAME) * 9000 + MARK, "recursion"),
        (header("x", 512, tarfile.XHDTYPE) * 9000 + MARK, "recursion"),
        (
            header("x", 512, tarfile.XHDTYPE) + padded(b"20 size=" + b"9" * 400 + b"\n"),
            "empty header",
        ),
    ],
)
def test_an_archive_that_is_not_whole_is_refused_at_once(
    tmp_path: Path, data: bytes, says: str
) -> None:
    start = time.process_time()
    with pytest.raises(ShardError, match=f"(?s)a.tar cannot be read to its end: .*({says})"):
        read(tmp_path, data)
    assert time.process_time() - start < 10


def test_an_empty_archive_is_whole(tmp_path: Path) -> None:
    for data in (MARK, bytes(10_240), zipped(MARK)):
        assert read(tmp_path, data) == []


def test_links_devices_and_sparse_files_are_rejects_and_folders_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    kinds = [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE, b"Z",
    ]  # fmt: skip
    data = header("folder", kind=tarfile.DIRTYPE)
    for index, kind in enumerate(kinds):
        data += header(f"{index}.jpg", 0, kind, str(tmp_path / "secret.jpg"))
    found = read(tmp_path, data + packed(("good.jpg", b"image")) + MARK)
    expected = [(str(index), "not_a_file") for index in range(len(kinds))]
    assert outcomes(found) == [*expected, ("good", "row")]


def test_names_are_only_ever_names(tmp_path: Path) -> None:
    names = ["/etc/passwd.jpg", "../../escape.jpg", "é.jpg", "\udcff\udcfe.jpg", ".hidden.jpg"]
    names += ["'; DROP TABLE images; --.jpg", "<script>.jpg", "README", "a" * 5000 + ".jpg"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    found = read(tmp_path / "..", buffer.getvalue(), f"{tmp_path.name}/a.tar")
    assert outcomes(found) == [
        ("/etc/passwd", "row"), ("../../escape", "row"), ("é", "row"), (r"\xff\xfe", "row"),
        (".hidden.jpg", "no_image"), ("'; DROP TABLE images; --", "row"), ("<script>", "row"),
        ("README", "no_image"), ("a" * 5000, "row"),
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_a_huge_member_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit alone, and together with others; more than the limit is never held."""
    for module, name in ((archive, "MEMBER_LIMIT"), (shards, "SAMPLE_LIMIT")):
        monkeypatch.setattr(module, name, 1 << 20)
    half = bytes(700_000)
    entries = [("1.jpg", bytes((1 << 20) + 1)), ("1.json", b"{}"), ("2.jpg", half), ("2.txt", half)]
    found = read(tmp_path, packed(*entries, ("3.jpg", half), ("4.jpg", half)) + MARK)
    assert outcomes(found) == [("1", "too_large"), ("2", "too_large"), ("3", "row"), ("4", "row")]


def interleaved(distance: int) -> list[Entry]:
    """Each sample's JSON follows `distance` samples after its image."""
    images = [(index, f"{index:03d}.jpg", str(index).encode()) for index in range(60)]
    later = [(i + distance + 0.5, f"{i:03d}.json", b'{"n": %d}' % i) for i in range(60)]
    return [(name, data) for _, name, data in sorted([*images, *later])]


def test_interleaved_members_are_brought_together_or_refused(tmp_path: Path) -> None:
    together = read(tmp_path, packed(*interleaved(0)) + MARK)
    assert outcomes(together) == [(f"{index:03d}", "row") for index in range(60)]
    assert [s.fields["n"] for s in together if isinstance(s, Sample)] == list(range(60))
    assert read(tmp_path, packed(*interleaved(shards.OPEN - 1)) + MARK) == together
    for distance in (shards.OPEN, 60):
        with pytest.raises(ShardError, match=r"the members of sample '000' .* lie too far apart"):
            read(tmp_path, packed(*interleaved(distance)) + MARK)


def test_each_unusable_sample_is_a_reject_with_its_reason(tmp_path: Path) -> None:
    image, between = b"image", [(f"{i}.jpg", b"") for i in range(shards.OPEN + 1)]
    entries = [
        ("good.jpg", image), ("nothing.txt", b""), ("bad.jpg", image), ("bad.json", b"{"),
        ("list.jpg", image), ("list.json", b"[]"), ("deep.jpg", image),
        ("deep.json", b"[" * 100_000), ("latin.jpg", image), ("latin.json", b'{"a": "\xe9"}'),
        ("huge.jpg", image), ("huge.json", b'{"a": %s}' % (b"9" * 5000)),
        ("twice.jpg", image), ("twice.jpg", image), ("near.jpg", image), ("other.png", image),
        ("near.jpg", image), *between, ("good.jpg", image), ("good.json", b"{}"),
    ]  # fmt: skip
    found = outcomes(read(tmp_path, packed(*entries) + MARK))
    assert [pair for pair in found if not pair[0].isdigit()] == [
        ("good", "row"), ("nothing", "no_image"), ("bad", "invalid_json"),
        ("list", "invalid_json"), ("deep", "invalid_json"), ("latin", "invalid_json"),
        ("huge", "invalid_json"), ("twice", "duplicate_member"), ("near", "row"),
        ("other", "row"), ("near", "duplicate_key"), ("good", "duplicate_key"),
    ]  # fmt: skip


@cache
def scene() -> bytes:
    """An encoded image."""
    (url,) = write_scenes("memory://scene", 1, seed=0)
    (sample,) = shards.samples(url)
    assert isinstance(sample, Sample)
    return sample.image


CONTENTS = st.one_of(
    st.binary(max_size=30),
    st.builds(scene),
    st.integers(0, 3000).map(lambda cut: scene()[:cut]),
    st.just(b'{"yellow": 1, "car": true, "year": 2020, "source": "x"}'),
    st.dictionaries(st.sampled_from(["yellow", "car", "year", "source"]), st.none() | st.booleans())
    .map(lambda fields: json.dumps(fields).encode()),
)  # fmt: skip
NAMES = st.builds(
    "{}.{}".format, st.text("ab/.é\udcff", min_size=1, max_size=3),
    st.sampled_from(["jpg", "JPG", "png", "json", "json", "txt", "cls.txt", ""]),
)  # fmt: skip
KINDS = st.sampled_from(
    [tarfile.REGTYPE] * 12 + [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
ENTRIES = st.lists(st.tuples(NAMES, CONTENTS, KINDS), max_size=40)


def archived(entries: list[tuple[str, bytes, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, data, kind in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data) if kind == tarfile.REGTYPE else 0
            made.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def named(name: str) -> str:
    """As a key shows it."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


many = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@many
@given(entries=ENTRIES)
def test_each_key_of_any_archive_comes_out_with_exactly_its_members(
    tmp_path: Path, entries: list[tuple[str, bytes, bytes]]
) -> None:
    kept = [(named(name), data, kind) for name, data, kind in entries if kind != tarfile.DIRTYPE]
    members: dict[str, list[tuple[str, bytes, bytes]]] = {}
    for name, data, kind in kept:
        key, extension = shards.split(name)
        members.setdefault(key, []).append((extension, data, kind))
    try:
        found = read(tmp_path, archived(entries))
    except ShardError as error:
        assert "lie too far apart" in str(error)
        assert len(members) > shards.OPEN
        return
    assert {item.key for item in found} == members.keys()
    rows = [item for item in found if isinstance(item, Sample)]
    assert max(Counter(row.key for row in rows).values(), default=1) == 1
    for row in rows:
        assert row.image in [data for ext, data, _ in members[row.key] if ext in shards.IMAGE_TYPES]
    for key, whole in members.items():
        items = [item for item in found if item.key == key]
        once = len({ext for ext, _, _ in whole}) == len(whole)
        if once and all(kind == tarfile.REGTYPE for _, _, kind in whole):
            by_extension = {ext: data for ext, data, _ in whole}
            images = [by_extension[t] for t in shards.IMAGE_TYPES if t in by_extension]
            (item,) = items
            if isinstance(item, Sample):
                assert item.image == images[0]
                assert (item.meta or "").encode() == by_extension.get("json", b"")
            else:
                assert item.reason == ("invalid_json" if images else "no_image")
        else:
            assert any(isinstance(item, Reject) for item in items)


@pytest.fixture(scope="module")
def extractor(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    """A real one; random weights."""
    out = tmp_path_factory.mktemp("outside") / "inside" / "run"
    asked = plan(scenes, out, batch_size=4)
    made = _settings(asked, expand(scenes))
    write_json(f"{out}/run.json", _identity(made))
    return Extractor(replace(made, decode_threads=1))


@settings(many, max_examples=60)
@given(entries=ENTRIES, data=st.data())
def test_any_archive_extracts_to_rows_plus_rejects_inside_the_run_folder(
    extractor: Extractor,
    tmp_path: Path,
    entries: list[tuple[str, bytes, bytes]],
    data: st.DataObject,
) -> None:
    """Also archives with some bytes changed, inserted or removed."""
    made = bytearray(archived(entries))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(made) - 1))
        made[at : at + data.draw(st.integers(0, 600))] = data.draw(st.binary(max_size=3))
        made = made or bytearray(1)
    shard = tmp_path / "any.tar"
    shard.write_bytes(made)
    run = extractor.run
    outside = Path(run.url).parent.parent
    start = time.process_time()
    done = extractor.work(Group(((shards.shard_id(str(shard)), str(shard)),)))
    assert time.process_time() - start < 20
    assert len(done.value) + len(done.failed) == 1
    assert all(isinstance(error, ShardError) for _, error in done.failed)
    assert [path.name for path in outside.iterdir()] == ["inside"]
    assert [path.name for path in outside.joinpath("inside").iterdir()] == ["run"]
    for record in done.value:
        commit.commit(run, [record])
        assert record["read"] == record["written"] + record["rejected"]
        assert record["read"] == len(list(shards.samples(str(shard))))
        assert checked(run).problems == []
        keys = set(run.images(["key"])["key"].to_pylist())
        assert len(keys) == record["written"]
        assert run.rejects().num_rows == record["rejected"]
        commit.forget(run, record["moments"], [record["shard"]])


def test_every_reason_is_documented() -> None:
    words = Path("README.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", words, re.M))
    assert listed == {reason: stage for reason, (stage, _) in REASONS.items()}
