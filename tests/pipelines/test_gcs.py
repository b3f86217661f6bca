"""A run on gs://, against an emulator that `pip install nhd[gcs] gcp-storage-emulator` brings."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from pipelines.bench.difference import difference
from pipelines.errors import ShardError
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.cache import local_copy
from pipelines.io.consistency import checked
from pipelines.io.files import atomic_file, atomic_write
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.io.urls import LISTED, fingerprint, fingerprints
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan

pytestmark = pytest.mark.slow
emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
with mock.patch.dict(os.environ, GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false"):  # no emulator has it
    gcsfs = pytest.importorskip("gcsfs", reason="needs nhd[gcs]")


@pytest.fixture
def bucket() -> Iterator[str]:
    """A bucket's URL."""
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="nhd")
    server.start()
    host, port = server._api._httpd.server_address
    told = {
        "STORAGE_EMULATOR_HOST": f"http://{host}:{port}",
        "NHD_PATIENCE": "0",
    }
    with mock.patch.dict(os.environ, told):
        gcsfs.GCSFileSystem.clear_instance_cache()
        yield "gs://nhd"
        gcsfs.GCSFileSystem.clear_instance_cache()
    server.stop()


def test_a_run_there_is_the_run_here(bucket: str, tmp_path: Path) -> None:
    write_scenes(f"{bucket}/scenes", 30, seed=2, per_shard=10)
    assert extract(plan(f"{bucket}/scenes/*.tar", f"{bucket}/run"))["written"] == 30
    extract(plan(f"{bucket}/scenes/*.tar", str(tmp_path / "run")))
    there, here = Run(f"{bucket}/run"), Run(str(tmp_path / "run"))
    assert checked(there).problems == []
    assert not there.exists("lock.json")
    seen = difference(here, there)
    assert seen.moments <= 1e-9 and seen.coefficients_different == seen.rows_lost == 0


def test_files_come_and_go(bucket: str, tmp_path: Path) -> None:
    urls = [f"{bucket}/d/{i:02d}.tar" for i in range(LISTED + 1)]
    for url in urls:
        atomic_write(url, url.encode())
    assert expand(f"{bucket}/d/*.tar") == urls
    alone = {url: fingerprint(url) for url in urls}
    assert fingerprints(urls) == alone
    atomic_write(urls[0], urls[0].encode()[::-1])
    assert fingerprint(urls[0]) != alone[urls[0]]
    assert fingerprints([f"{bucket}/gone.tar"]) == {f"{bucket}/gone.tar": None}
    with pytest.raises(ShardError, match="gone"):
        list(shards.samples(f"{bucket}/gone.tar"))
    Run(bucket).delete("gone.json")


def test_large_files_go_both_ways(bucket: str, tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    with atomic_file(f"{bucket}/large.bin") as path:
        Path(path).write_bytes(data)
    with mock.patch.dict(os.environ, {"NHD_CACHE": str(tmp_path)}):
        assert Path(local_copy(f"{bucket}/large.bin")).read_bytes() == data
