"""What leaves a run, and what can reach it: no secrets out, nobody in."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipelines.io.store import Run
from pipelines.tiny.dataset import write_scenes

SECRETS = {
    "password": "pa55word-of-mallory",
    "signature": "5igned1234567890abcdef",
    "token": "t0ken-in-the-environment",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files; asks for nothing, says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Two shards, one of them cut off, on a web server; address without scheme."""
    folder = tmp_path / "shards"
    _, cut = write_scenes(str(folder), 20, seed=0, per_shard=10)
    Path(cut).write_bytes(Path(cut).read_bytes()[:-20_000])
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_secrets_reach_neither_logs_nor_files(served: str, tmp_path: Path) -> None:
    place = f"http://mallory:{SECRETS['password']}@{served}"
    signed = f"?X-Amz-Signature={SECRETS['signature']}&part=1"
    urls = [f"{place}/scenes-{i:06d}.tar{signed}" for i in range(2)]
    listing, out = tmp_path / "shards.txt", tmp_path / "run"
    listing.write_text("\n".join(urls))
    command = [sys.executable, "-m", "jobs.cli", "extract", "--data", f"@{listing}", "--debug"]
    command += ["--out", str(out), "--pretrained", "none", "--in-process"]
    environment = os.environ | {"HF_TOKEN": SECRETS["token"]}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 3 and "1 of 2 shards failed" in said
    assert Run(str(out)).images(["key"]).num_rows == 10
    wanted = f"http://{served}/scenes-000001.tar?part=1"
    assert wanted in said and wanted in (out / "input.json").read_text()
    (failed,) = (out / "failed").iterdir()
    assert wanted in failed.read_text()
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in SECRETS.values():
        assert secret not in said
        assert secret.encode() not in written
