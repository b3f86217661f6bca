"""Shards and run folders on a real S3 server that fails: all of it arrives, or an error does."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import fsspec
import pytest
import torch
from safetensors.torch import save

from pipelines.bench.difference import difference
from pipelines.errors import Incomplete, ShardError, UsageError
from pipelines.extract.job import extract
from pipelines.io import reading, shards
from pipelines.io.files import atomic_write
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.io.tensors import some_tensors
from pipelines.io.urls import LISTED, fingerprint, fingerprints, without_secrets
from pipelines.tiny.dataset import write_scenes
from tests import s3_server
from tests.conftest import plan
from tests.s3_server import FAULTS, Server

s3_process, s3 = s3_server.s3_process, s3_server.s3

MEMBERS = [
    (f"{i:03d}.{kind}", data)
    for i in range(30)
    for kind, data in (("jpg", bytes([i]) * 20_000), ("json", json.dumps({"n": i}).encode()))
]


def test_a_record_costs_one_request(s3: Server) -> None:
    run = Run(f"{s3.bucket()}/run")
    for i in range(5):
        atomic_write(run.at("shards", f"{i}.json"), b'{"shard": "%d"}' % i)
    s3.set_rate(0.0)
    assert [record["shard"] for record in run.each_record()] == list("01234")
    assert s3.requests() == {"GET": 6}


@pytest.fixture
def impatient(s3: Server) -> Iterator[Server]:
    """The server; botocore does not retry, s3fs does, and a shard takes about ten requests."""
    small = mock.patch.object(reading, "BLOCK", 65_536)
    with small, s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1"):
        yield s3


@functools.cache
def store(server: Server) -> fsspec.AbstractFileSystem:
    """What the server really holds, asked without faults and without remembered listings."""
    return fsspec.filesystem(
        "s3", endpoint_url=server.direct, skip_instance_cache=True, use_listings_cache=False
    )


def put(server: Server, *urls: str, data: bytes | None = None) -> None:
    store(server).pipe({url: url.encode() if data is None else data for url in urls})


@pytest.mark.parametrize("seed", [1, 2])
def test_a_shard_comes_whole_through_faults_or_not_at_all(impatient: Server, seed: int) -> None:
    url = f"{impatient.bucket()}/a.tar"
    shards.write("memory://whole/a.tar", MEMBERS)
    put(impatient, url, data=fsspec.filesystem("memory").cat_file("/whole/a.tar"))
    truth = list(shards.samples("memory://whole/a.tar"))
    assert len(truth) == 30

    def whole(_: int) -> bool:
        try:
            found = list(shards.samples(url))
        except ShardError:
            return False
        assert found == truth
        return True

    impatient.set_rate(0.2, seed)
    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(whole, range(32)))
    assert set(impatient.faults()) == set(FAULTS)
    assert any(came)


@pytest.mark.parametrize("fault", ["500", "503", "drop", "cut"])
def test_a_shard_that_never_comes_is_a_shard_error(impatient: Server, fault: str) -> None:
    url = f"{impatient.bucket()}/a.tar"
    put(impatient, url)
    impatient.set_rate(1.0, faults=[fault])
    with pytest.raises(ShardError, match="cannot be read"):
        list(shards.samples(url))


def test_a_shard_that_is_not_there_is_a_shard_error(s3: Server) -> None:
    for url in (f"{s3.bucket()}/gone.tar", "s3://no-such-bucket/gone.tar"):
        with pytest.raises(ShardError, match="/gone"):
            list(shards.samples(url))


def test_globs_and_braces_agree_and_see_what_has_just_come(s3: Server) -> None:
    bucket = s3.bucket()
    urls = [f"{bucket}/d/{i:02d}.tar" for i in range(12)]
    put(s3, *urls[:10])
    assert expand(f"{bucket}/d/*.tar") == urls[:10]
    assert expand(f"{bucket}/d/{{00..09}}.tar") == urls[:10]
    put(s3, *urls[10:])
    assert expand(f"{bucket}/d/*.tar") == expand(f"{bucket}/d/{{00..11}}.tar") == urls


def test_no_remembered_listing_is_believed(s3: Server) -> None:
    folder = f"{s3.bucket()}/d/"
    urls = [f"{folder}{i}.tar" for i in range(LISTED + 1)]
    fs, _ = fsspec.core.url_to_fs(folder)
    put(s3, *urls[1:])
    for content in (b"longer than before", b"", b"again"):
        fs.ls(folder)
        put(s3, urls[0], data=content)
        assert fingerprint(urls[0])["size"] == len(content)
    shards.write("memory://listing/a.tar", MEMBERS)
    shard = fsspec.filesystem("memory").cat_file("/listing/a.tar")
    for i, look in enumerate((lambda: expand(folder + "*.tar"), lambda: list(fingerprints(urls)))):
        store(s3).rm_file(urls[i])
        fs.ls(folder)
        put(s3, urls[i])
        assert look() == urls
        put(s3, urls[i], data=shard)
        assert len(list(shards.samples(urls[i]))) == 30


def test_missing_shards_and_folders_are_refused(s3: Server) -> None:
    bucket = s3.bucket()
    put(s3, *(f"{bucket}/d/{i}.tar" for i in range(5)))
    for pattern, says in (
        (f"{bucket}/d/{{0..7}}.tar", f"3 of 8 shards do not exist, first {bucket}/d/5.tar"),
        (f"{bucket}/d/{{0..99}}.tar", f"95 of 100 shards do not exist, first {bucket}/d/5.tar"),
        (f"{bucket}/d/9.tar", f"shard {bucket}/d/9.tar does not exist"),
        (f"{bucket}/d", "is a folder"),
        (f"{bucket}/e/*.tar", "no shard matches"),
        ("s3://no-such-bucket/a.tar", "does not exist"),
        ("s3://no-such-bucket/{0..99}.tar", "100 of 100 shards do not exist"),
    ):
        with pytest.raises(UsageError, match=re.escape(says)):
            expand(pattern)
    assert len(expand(f"{bucket}/d/{{0..99}}.tar", must_exist=False)) == 100


def test_a_fingerprint_changes_when_the_object_is_written_again(s3: Server) -> None:
    bucket = s3.bucket()
    urls = [f"{bucket}/d/{i}.tar" for i in range(LISTED)]
    put(s3, *urls)
    before = fingerprints(urls)
    assert fingerprints(urls) == before
    put(s3, urls[0], data=urls[0][::-1].encode())
    store(s3).rm_file(urls[1])
    after = fingerprints(urls)
    assert {url for url in urls if after[url] != before[url]} == set(urls[:2])
    assert after[urls[1]] is None
    assert fingerprint(urls[0]) == after[urls[0]] != before[urls[0]]
    assert after[urls[0]]["size"] == before[urls[0]]["size"]  # type: ignore[index]


def test_many_fingerprints_cost_one_request_a_folder(s3: Server) -> None:
    bucket = s3.bucket()
    urls = [f"{bucket}/{folder}/{i}.tar" for folder in "ab" for i in range(30)]
    put(s3, *urls)
    alone = {url: fingerprint(url) for url in urls[:3]}
    s3.set_rate(0.0)
    found = fingerprints([*urls, f"{bucket}/a/gone.tar"])
    assert sum(s3.requests().values()) == 2
    assert found == found | alone
    assert [url for url, one in found.items() if one is None] == [f"{bucket}/a/gone.tar"]


def test_looking_up_never_takes_a_failing_store_for_an_empty_one(impatient: Server) -> None:
    bucket = impatient.bucket()
    urls = [f"{bucket}/{i}.tar" for i in range(LISTED)]
    put(impatient, *urls)
    truth = fingerprints(urls)
    told = 0
    for seed in range(12):
        impatient.set_rate(0.3, seed, ["500", "drop", "cut"])
        for asked in (urls, urls[:3]):
            try:
                assert fingerprints(asked) == {url: truth[url] for url in asked}
                told += 1
            except OSError as error:
                assert "cannot be looked up" in str(error)
    assert told
    impatient.set_rate(1.0, faults=["500"])
    with pytest.raises(Incomplete, match="cannot be listed"):
        expand(f"{bucket}/{{0..{LISTED - 1}}}.tar")


def test_a_presigned_url_is_read_and_keeps_its_name(s3: Server) -> None:
    url = f"{s3.bucket()}/a.tar"
    fs, path = fsspec.core.url_to_fs(url)
    shards.write(url, MEMBERS)
    signed = [fs.url(path, expires=seconds) for seconds in (100, 2000)]
    assert signed[0] != signed[1]
    assert {without_secrets(one) for one in signed} == {f"{s3.endpoint}/{path}"}
    assert expand(signed[0]) == [signed[0]]
    assert list(shards.samples(signed[0])) == list(shards.samples(url))
    assert fingerprint(signed[0]) == fingerprint(url)
    fs.rm_file(path)
    assert fingerprints(signed) == dict.fromkeys(signed)
    s3.set_rate(1.0, faults=["503"])
    with pytest.raises(OSError, match="cannot be looked up") as unclear:
        fingerprint(signed[0])
    assert not isinstance(unclear.value, FileNotFoundError)
    assert "Signature" not in str(unclear.value)


def test_writes_survive_faults_and_are_never_torn(impatient: Server) -> None:
    run = Run(f"{impatient.bucket()}/run")
    url, there = run.at("x", "a.bin"), b"at first"
    put(impatient, url, data=there)
    impatient.set_rate(0.2, 5)
    for i in range(40):
        data = f"{i} ".encode() * 20_000
        try:
            atomic_write(url, data)
            allowed = [data]
        except Exception:
            allowed = [there, data]
        there = store(impatient).cat_file(url)
        assert there in allowed
    assert sum(impatient.faults().values()) > 5


def test_reads_of_a_run_survive_faults(s3: Server) -> None:
    run = Run(f"{s3.bucket()}/run")
    data = bytes(range(256)) * 2000
    atomic_write(run.at("a.bin"), data)
    s3.set_rate(0.2, 1)
    assert all(run.read("a.bin") == data for _ in range(8))
    assert s3.faults()


def test_a_run_sees_what_others_have_written_since_it_listed(s3: Server) -> None:
    run = Run(f"{s3.bucket()}/run")
    atomic_write(run.at("shards", "a.json"), b"{}")
    assert run.names("shards", ".json") == ["a.json"]
    put(s3, run.at("shards", "b.json"))
    assert run.exists("shards", "b.json")
    assert run.read("shards", "b.json") == run.at("shards", "b.json").encode()


def test_parts_of_a_moments_file_are_read_from_a_store(s3: Server) -> None:
    """s3fs takes the second argument of cat_file for a version, unlike all other file systems."""
    tensors = {"few": torch.arange(4.0), "many": torch.arange(5000.0)}
    run = Run(f"{s3.bucket()}/run")
    atomic_write(run.at("moments.safetensors"), save(tensors, {"records": '[{"shard": "a"}]'}))
    assert run.header("moments.safetensors") == {"records": [{"shard": "a"}]}
    with run.place("moments.safetensors") as (fs, path):
        _, found = some_tensors(fs, path, lambda name: name == "few")
    assert found.keys() == {"few"} and found["few"].equal(tensors["few"])


def test_one_of_many_creates_an_object(s3: Server) -> None:
    bucket = s3.bucket()
    fs, _ = fsspec.core.url_to_fs(bucket)

    def create(url: str, name: bytes) -> bytes | None:
        try:
            fs.pipe_file(url, name, mode="create")
        except FileExistsError:
            return None
        return name

    with ThreadPoolExecutor(6) as pool:
        for i in range(10):
            url = f"{bucket}/lock-{i}"
            won = [
                name for name in pool.map(create, [url] * 6, map(b"%d".__mod__, range(6))) if name
            ]
            assert [store(s3).cat_file(url)] == won


def test_a_lost_answer_makes_a_creator_doubt_its_own_object(impatient: Server) -> None:
    """Why a lock must read who is in it: the repeated request finds the first one's object."""
    fs, path = fsspec.core.url_to_fs(f"{impatient.bucket()}/lock")
    impatient.set_rate(0.5, 4, ["lost"])
    taken = 0
    for i in range(8):
        try:
            fs.pipe_file(f"{path}-{i}", b"mine", mode="create")
        except FileExistsError:
            taken += 1
        assert store(impatient).cat_file(f"{path}-{i}") == b"mine"
    assert taken


def test_processes_started_by_a_test_use_its_server(s3: Server) -> None:
    url = f"{s3.bucket()}/a.txt"
    put(s3, url)
    code = "import sys, fsspec; sys.stdout.buffer.write(fsspec.open(sys.argv[1]).open().read())"
    command = [sys.executable, "-c", code, url]
    assert subprocess.run(command, capture_output=True, check=True).stdout == url.encode()


def test_the_server_ends_with_its_context_and_counts_what_it_did() -> None:
    with s3_server.s3_server(rate=1.0, seed=1) as server, s3_server.as_default(server):
        bucket = server.bucket()
        server.set_rate(1.0, faults=["500"])
        with s3_server.as_default(server, AWS_MAX_ATTEMPTS="1"), pytest.raises(OSError):
            fsspec.filesystem("s3").ls(bucket)
        assert server.faults() == {"500": 1}
        assert server.requests() == {"GET": 1}
    with pytest.raises(ConnectionRefusedError):
        server.requests()


@pytest.fixture
def scenes_there(s3: Server) -> str:
    """Five shards of ten scenes in a bucket."""
    bucket = s3.bucket()
    urls = write_scenes("memory://scenes-there", 50, seed=2, per_shard=10)
    memory = fsspec.filesystem("memory")
    for index, url in enumerate(urls):
        put(s3, f"{bucket}/{index}.tar", data=memory.cat_file(url))
    return f"{bucket}/{{0..4}}.tar"


def test_a_run_over_a_failing_store_is_whole_in_the_end(s3: Server, scenes_there: str) -> None:
    """One command or several; each says that it is incomplete, or is."""
    calm, out = f"{s3.bucket()}/calm", f"{s3.bucket()}/run"
    extract(plan(scenes_there, calm))
    ends = []
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="2"):
        s3.set_rate(0.15, seed=4)
        while ends[-1:] != ["whole"]:
            assert len(ends) < 30
            try:
                extract(plan(scenes_there, out))
                ends.append("whole")
            except (Incomplete, UsageError) as error:
                ends.append(str(error))
        assert sum(s3.faults().values()) > 5
    s3.set_rate(0.0)
    extract(plan(scenes_there, out))
    seen = difference(Run(calm), Run(out))
    assert seen.moments <= 1e-9 and seen.files == seen.rows_lost == seen.rows_repeated == 0
    assert seen.coefficients_different == seen.rows_invented == seen.rejects_different == 0


def test_a_shard_that_goes_while_the_run_is_on_fails_alone(s3: Server, scenes_there: str) -> None:
    """It is gone after it was listed, and comes back."""
    out, names = f"{s3.bucket()}/run", [scenes_there.replace("{0..4}", str(i)) for i in range(5)]
    first, *_, last = sorted(names, key=shards.shard_id)
    content = store(s3).cat_file(last)
    real = shards.samples

    def samples(url: str) -> Iterator[Any]:
        if url == first:
            store(s3).rm_file(last)
        return real(url)

    with mock.patch("pipelines.io.stream.samples", samples), pytest.raises(Incomplete) as raised:
        extract(plan(scenes_there, out))
    assert re.match(f"1 of 5 shards failed, first {last} .*does not exist", str(raised.value))
    assert Run(out).images(["key"]).num_rows == 40
    put(s3, last, data=content)
    assert extract(plan(scenes_there, out)) == {"read": 50, "written": 50, "rejected": 0}
    assert Run(out).names("failed") == []
