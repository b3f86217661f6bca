"""An S3 server on a machine of its own, whose cable can be pulled."""

import os
import sys
import time
from pathlib import Path

from infra.elastic.cluster import STORE, plain
from infra.elastic.machines import Machine

PORT = 9000
START = 60.0  # seconds


class Store:
    """moto's S3 server; it keeps what it holds in memory."""

    def __init__(self, folder: Path, local: Path) -> None:
        self.machine = Machine("store", STORE, folder / "store", local)
        self.endpoint = f"http://{self.machine.address}:{PORT}"
        with (self.machine.folder / "store.log").open("wb") as log:
            self.process = self.machine.start(
                sys.executable, "-m", "moto.server", "-H", self.machine.address, "-p", str(PORT),
                environment=plain(), log=log,
            )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """What makes s3:// URLs mean this server; given to nodes as their role would be."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "elastic-key",
            "AWS_SECRET_ACCESS_KEY": "elastic-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def make(self, bucket: str) -> None:
        """Make a bucket, as soon as the server answers; raises RuntimeError if it never does."""
        import fsspec

        fs, deadline = fsspec.filesystem("s3"), time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                fs.mkdir(bucket)
                return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"the S3 server did not start; see {self.machine.folder}/store.log")
