"""Reading shards: the same list everywhere, nothing lost, and no cut goes unnoticed."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ShardError, UsageError
from pipelines.io import shards
from pipelines.io.listing import expand
from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample

IMAGE = b"not decoded here"


def write(path: Path, members: list[tuple[str, bytes]]) -> str:
    shards.write(str(path), members)
    return str(path)


def sample(key: str) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", IMAGE), (f"{key}.json", json.dumps({"name": key}).encode())]


def test_braces_globs_commas_and_lists_agree(tmp_path: Path) -> None:
    urls = [write(tmp_path / f"{i:03d}.tar", sample("a")) for i in range(12)]
    listing = tmp_path / "list.txt"
    listing.write_text("# shards\n" + "\n".join(urls) + "\n\n")
    for pattern in (
        f"{tmp_path}/{{000..011}}.tar",
        f"{tmp_path}/*.tar",
        f"{tmp_path}/{{000..005}}.tar,{tmp_path}/{{006,007,008,009,010,011}}.tar",
        f"@{listing}",
        f"{tmp_path}/0*.tar,{tmp_path}/*.tar",
        f"file://{tmp_path}/*.tar",
        os.path.relpath(f"{tmp_path}/*.tar"),
    ):
        assert expand(pattern) == urls


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("/nowhere/*.tar", "no shard matches '/nowhere/\\*.tar'"),
        ("/nowhere/a.tar", "does not exist"),
        ("/nowhere/{000..002}.tar", "does not exist"),
        ("/tmp", "is a folder"),
        ("/tmp/{a,b.tar", "unbalanced braces"),
        (" , ", "is empty"),
        ("@/nowhere/list", "cannot be read"),
        ("nosuch://bucket/a.tar", "cannot be listed"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        expand(pattern)


def test_shard_ids_differ_for_equal_names_in_different_places() -> None:
    assert shards.shard_id("/a/000.tar").startswith("000-")
    assert shards.shard_id("/a/000.tar") != shards.shard_id("/b/000.tar")


def test_samples_come_in_order_with_their_fields(tmp_path: Path) -> None:
    url = write(tmp_path / "a.tar", sample("x/1") + sample("x/2.5"[:3]) + sample("é"))
    found = list(shards.samples(url))
    assert [s.key for s in found] == ["x/1", "x/2", "é"]
    assert all(isinstance(s, Sample) and s.image == IMAGE for s in found)
    assert found[0].fields == {"name": "x/1"}  # type: ignore[union-attr]


def test_each_unusable_sample_is_a_reject_with_its_reason(tmp_path: Path) -> None:
    members = [
        *sample("good"),
        ("nothing.txt", b""),
        ("bad.jpg", IMAGE),
        ("bad.json", b"{"),
        ("list.jpg", IMAGE),
        ("list.json", b"[]"),
        ("twice.jpg", IMAGE),
        ("twice.jpg", IMAGE),
        *sample("good"),
        ("plain.png", IMAGE),
    ]
    found = list(shards.samples(write(tmp_path / "a.tar", members)))
    reasons = {item.key: item.reason for item in found if isinstance(item, Reject)}
    assert reasons == {
        "nothing": "no_image",
        "bad": "invalid_json",
        "list": "invalid_json",
        "twice": "duplicate_member",
        "good": "duplicate_key",
    }
    assert [item.key for item in found if isinstance(item, Sample)] == ["good", "plain"]


def test_gzip_is_read(tmp_path: Path) -> None:
    plain = Path(write(tmp_path / "a.tar", sample("1") + sample("2")))
    packed = tmp_path / "b.tar.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [s.key for s in shards.samples(str(packed))] == ["1", "2"]


@settings(max_examples=60)
@given(data=st.data(), packed=st.booleans())
def test_a_shard_cut_anywhere_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = Path(write(folder / "a.tar", sample("1") + sample("2"))).read_bytes()
    content_end = whole.rstrip(b"\0")
    # tarfile pads to 10,240 bytes; losing padding beyond the two zero blocks loses nothing.
    limit = -(-len(content_end) // 512) * 512 + 1024
    whole = gzip.compress(whole) if packed else whole
    cut = data.draw(st.integers(0, (len(whole) if packed else limit) - 1))
    path = folder / "cut.tar"
    path.write_bytes(whole[:cut])
    with pytest.raises(ShardError):
        list(shards.samples(str(path)))


def test_fetch_reads_images_again_and_passes_over_lost_shards(tmp_path: Path) -> None:
    url = write(tmp_path / "a.tar", sample("1") + sample("2"))
    urls = {"a": url, "gone": "/nowhere/b.tar"}
    assert shards.fetch(urls, [("a", "2"), ("gone", "1")]) == {("a", "2"): IMAGE}


def test_memory_and_file_urls_give_the_same_samples(tmp_path: Path) -> None:
    shards.write("memory://bucket/a.tar", sample("1"))
    local = write(tmp_path / "a.tar", sample("1"))
    assert expand("memory://bucket/*.tar") == ["memory:///bucket/a.tar"]
    assert list(shards.samples("memory://bucket/a.tar")) == list(shards.samples(local))
