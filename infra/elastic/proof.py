"""What is done to the cluster and its store while an audit works on them, with an account of it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fsspec

from infra.elastic import data
from infra.elastic.cluster import Cluster, plain
from infra.elastic.machines import lay_network
from infra.elastic.store import Store
from infra.elastic.submission import Submission
from infra.elastic.watch import Watch

BUCKET = "elastic"
CUT = 10.0  # seconds without the store
LIMIT = 900.0  # seconds that anything may take
BEGUN = "extract the input: "  # what the driver says when it comes to the week
LEASED = "is leased again"  # what the driver says of a lease whose worker is gone


class Proof:
    """One go at it; what happens is printed with its second."""

    def __init__(self, folder: Path, sizes: data.Sizes) -> None:
        self.began = time.monotonic()
        self.folder, self.sizes = folder, sizes
        self.series = f"s3://{BUCKET}/audits"
        local = Path(tempfile.mkdtemp(prefix="nhd-", dir="/tmp"))  # Ray's sockets need short paths
        lay_network()
        self.store = Store(folder / "machines", local)
        os.environ.update(self.store.environment())
        self.cluster = Cluster(folder / "machines", local, self.store.environment())

    def say(self, text: str) -> None:
        """Print a line of the account."""
        print(f"{time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def prepare(self) -> None:
        """Images on disk and in the store; a head and two nodes."""
        alone = self.folder / "alone"
        self.cluster.wait("head")
        data.draw(alone, self.sizes)
        (alone / "audit.yaml").write_text(data.configure(in_process=True))
        self.store.make(BUCKET)
        fs = fsspec.filesystem("s3")
        fs.put(str(alone / "scenes"), f"{BUCKET}/scenes", recursive=True)
        fs.pipe(f"{BUCKET}/audit.yaml", data.configure(in_process=False).encode())
        self.say(
            f"{self.sizes.reference} + {self.sizes.week} scenes in {self.sizes.shards} shards are "
            f"in the S3 server at {self.store.endpoint}"
        )
        for name in ("node1", "node2"):
            self.cluster.add(name)
        for name in ("node1", "node2"):
            self.cluster.wait(name)
        places = ", ".join(f"{m.name} {m.address}" for m in self.cluster.machines.values())
        self.say(f"a Ray cluster under a token: {places}; each node has one CPU")

    def alone(self) -> subprocess.Popen[bytes]:
        """Start the same audit in one process, on the files on disk; it takes what time is left."""
        folder = self.folder / "alone"
        command = ["nice", "-n", "19", nhd(), "audit", "--config", str(folder / "audit.yaml")]
        with (folder / "audit.log").open("wb") as log:
            return subprocess.Popen(command, env=plain(), stdout=log, stderr=log)

    def submit(self) -> Submission:
        """Submit the audit."""
        command = ["submit", "--address", self.cluster.jobs, "--retries", "2", "audit"]
        command += ["--config", f"s3://{BUCKET}/audit.yaml"]
        self.say(f"$ nhd {' '.join(command)}")
        environment = plain() | self.cluster.token
        return Submission([nhd(), *command], environment, self.folder / "submit.log")

    def disturb(self, job: Submission) -> Watch:
        """Add a node, cut the store, lose a node."""
        watch = Watch(self.series)
        everything = f"of {self.sizes.shards} shards of the week"
        self.until(job, watch, lambda: bool(job.says(BEGUN)))
        self.cluster.add("node3")
        self.say("work on the week has begun; node3 is switched on")
        self.until(job, watch, lambda: watch.done >= 2)
        self.say(f"{watch.done} {everything} are committed; the store's cable is pulled")
        self.store.machine.unplug()
        before = watch.done
        time.sleep(CUT)
        self.store.machine.plug_in()
        self.say(f"after {CUT:.0f} s it is plugged in again")
        self.until(job, watch, lambda: watch.done > before)
        self.say(f"{watch.done} {everything}: work goes on")
        self.until(job, watch, lambda: watch.shards_of("node3") > 0)
        if job.over:
            return watch  # the judge says what did not happen
        self.say(f"{watch.done} {everything}, some by node3; node1 loses power and network")
        self.cluster.lose("node1")
        self.until(job, watch, lambda: bool(job.says(LEASED)))
        for _, line in job.says(LEASED):
            self.say(f"Ray takes node1 for dead; the driver: {line}")
        self.until(job, watch, lambda: False)
        return watch

    def until(self, job: Submission, watch: Watch, happened: Callable[[], bool]) -> None:
        """Look every half second until something has happened, or the job is over."""
        deadline = time.monotonic() + LIMIT
        while not job.over and not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the audit takes over {LIMIT:.0f} s; see {job.log}")
            time.sleep(0.5)
            self.cluster.tend()
            watch.look()
        watch.look()


def nhd() -> str:
    """The console script beside this interpreter."""
    return str(Path(sys.executable).parent / "nhd")
