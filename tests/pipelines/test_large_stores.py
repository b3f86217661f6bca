"""Large files and long listings on S3: in parts that leave nothing behind, in few requests."""

import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import fsspec
import pytest

from pipelines.errors import Unwritable
from pipelines.io.files import atomic_file, atomic_write
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.io.urls import fingerprints
from tests import s3_server
from tests.s3_server import Server

pytestmark = pytest.mark.slow
s3_process, s3 = s3_server.s3_process, s3_server.s3
KEYS = 100_000


def unfinished(server: Server, bucket: str) -> int:
    """Uploads whose parts the store still holds."""
    fs = fsspec.filesystem("s3", endpoint_url=server.direct, skip_instance_cache=True)
    return len(fs.list_multipart_uploads(bucket.removeprefix("s3://")) or [])


@pytest.mark.parametrize("how", ["bytes", "file"])
def test_a_large_file_goes_in_parts_and_a_failed_one_leaves_none(s3: Server, how: str) -> None:
    bucket = s3.bucket()
    data = os.urandom(1 << 20) * 110

    def write(url: str) -> None:
        if how == "bytes":
            return atomic_write(url, data)
        with atomic_file(url) as path:
            Path(path).write_bytes(data)

    s3.set_rate(0.0)
    write(f"{bucket}/a.bin")
    assert s3.requests()["POST"] == 2 and s3.requests()["PUT"] == 3
    assert Run(bucket).read("a.bin") == data
    failed = 0
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="3"):
        for seed in range(4):
            s3.set_rate(0.6, seed, ["500"])
            try:
                write(f"{bucket}/{seed}.bin")
            except Unwritable:
                failed += 1
                s3.set_rate(0.0)
                assert not Run(bucket).exists(f"{seed}.bin")
    # What could not even be aborted is left to the bucket's lifecycle rule.
    s3.set_rate(0.0)
    assert unfinished(s3, bucket) < failed


class _Pages(BaseHTTPRequestHandler):
    """S3's ListObjectsV2 of KEYS shards, a thousand to a page; moto takes seconds for each."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        assert asked["prefix"] == ["d/"] and "list-type" in asked
        type(self).asked += 1
        start = int(asked.get("continuation-token", ["0"])[0])
        keys = "".join(
            f"<Contents><Key>d/{i:06d}.tar</Key><Size>1</Size><ETag>&quot;{i:032x}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for i in range(start, start + 1000)
        )
        last = start + 1000 >= KEYS
        after = "" if last else f"<NextContinuationToken>{start + 1000}</NextContinuationToken>"
        body = (
            "<ListBucketResult><Name>many</Name><Prefix>d/</Prefix><KeyCount>1000</KeyCount>"
            f"<IsTruncated>{str(not last).lower()}</IsTruncated>{after}{keys}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Nothing."""


def test_a_hundred_thousand_keys_are_listed_page_by_page() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        before, start = _new_peak(), time.process_time()
        with s3_server.as_default(Server(endpoint, endpoint)):
            urls = expand("s3://many/d/*.tar")
            found = fingerprints(urls)
            names = Run("s3://many").names("d", ".tar")
        taken = _peak() - before
        print(f"{time.process_time() - start:.1f} s with the server's, {taken / 1e6:.0f} MB")
        assert taken < 400e6
        server.shutdown()
    assert urls == [f"s3://many/d/{i:06d}.tar" for i in range(KEYS)]
    assert [one and one["version"] for one in found.values()] == [f"{i:032x}" for i in range(KEYS)]
    assert names == [f"{i:06d}.tar" for i in range(KEYS)]
    assert _Pages.asked == 3 * KEYS / 1000


def _new_peak() -> int:
    """Forget the peak so far; the bytes that this process holds now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The most bytes that this process has held since `_new_peak`."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found)
