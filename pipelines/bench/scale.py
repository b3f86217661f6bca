"""What RN50x16 over up to 5 billion images would take: computed from figures, of which each says
whether it was measured, promised or assumed. `infra/scale.md` holds the tables with their reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from pipelines.bench.result import Result
from pipelines.extract.groups import LEAST, SHARE, full_size
from pipelines.io.reading import BLOCK

IMAGES = (1_000_000, 100_000_000, 5_000_000_000)
GPUS = (1, 8, 256)
PAIRS = 147_456

# Measured, on 2 cores of an AMD EPYC unless a line says otherwise.
FLOP_PER_IMAGE = 149.4e9  # RN50x16 at 384 px with its attention pool, counted
MATRIX_RATE = 790e12  # FLOP/s of large bf16 products on an H200
DECODED = 765.0  # images a second and core, 640x480 to 384 px; up to 862 was seen
ROW = 3715.0  # bytes an image: `nhd bench storage`
MOMENTS = 264.2e6  # bytes a group: the same
WRITING = 1.0  # seconds to write a group's moments to a local disk: the same (1.0 to 1.2)
MERGING = 2.5  # seconds to read and merge a group's moments in one process: the same
DRIVER_CPU = 0.9e-3  # seconds a shard: `nhd bench schedule` (0.75 to 0.9)
DRIVER_MEMORY = 720.0  # bytes a shard of a first run: URLs, fingerprints, groups (tracemalloc)
RECORD_MEMORY = 3300.0  # bytes more a shard that is found committed when a run is resumed
WORKER_START = 9.0  # seconds until a worker with the tiny model takes its first group
DRIVER_START = 10.0  # seconds of imports and of starting or joining Ray

# Promised: nobody has run this on a GPU yet.
REACHED = 0.40  # of the matrix rate

# Assumed.
IMAGES_PER_SHARD = 1000  # and 10,000, for the largest
IMAGE = 100e3  # bytes of a JPEG
PRICE = 3.0  # $ a GPU-hour
PUT = 0.03  # seconds of a small write to an object store
PUTS = 10  # at a time: the connections that s3fs opens by default
LIST = 0.1  # seconds for a listing of 1,000 names; the input is listed twice
RECORD, MEMBER = 1000.0, 30.0  # bytes of a commit record, and more for each shard of its group

RATE = REACHED * MATRIX_RATE / FLOP_PER_IMAGE
"""Images a second and GPU: 2,115, of 5,288 at the limit."""

TIME = "images | a shard | GPUs | time | cost | start | model | moments | driver | merge"
DISK = (
    "images | a shard | GPUs | groups | rows | moments | records | files | driver holds | resumed"
)
FLOW = "GPUs | images/s | cores to decode | read | written | requests/s"


@dataclass(frozen=True)
class Extraction:
    """One extraction, and what it leaves behind; times in seconds."""

    images: int
    gpus: int
    per_shard: int = IMAGES_PER_SHARD

    @property
    def shards(self) -> int:
        """Of the input, and of the rows."""
        return -(-self.images // self.per_shard)

    @property
    def full(self) -> int:
        """Shards of a full group."""
        return full_size({"pairs": PAIRS}, self.shards)

    @property
    def groups(self) -> int:
        """How many `groups_of` makes of equal shards, about."""
        left, found = float(self.shards), 0
        while left >= 1:
            left -= max(1, self.full / LEAST, min(self.full, left / (SHARE * self.gpus)))
            found += 1
        return found

    @property
    def start(self) -> float:
        """Until the first image is read."""
        return DRIVER_START + WORKER_START + 2 * LIST * self.shards / 1000

    @property
    def model(self) -> float:
        """Of each GPU's time, for the images."""
        return self.images / (RATE * self.gpus)

    @property
    def writing(self) -> float:
        """Of each GPU's time, for the moments of its groups."""
        return self.groups * WRITING / self.gpus

    @property
    def driver(self) -> float:
        """While the workers work: CPU time, and waiting for records to be written."""
        return self.shards * (DRIVER_CPU + PUT / PUTS)

    @property
    def seconds(self) -> float:
        """From the command to its end."""
        return self.start + max(self.model + self.writing, self.driver)

    @property
    def cost(self) -> float:
        """$, for GPUs that are held from start to end."""
        return self.gpus * self.seconds / 3600 * PRICE

    @property
    def merging(self) -> float:
        """Each time that `nhd fit` or `nhd compare` merges all moments, in one process."""
        return self.groups * MERGING

    @property
    def record(self) -> float:
        """Bytes of a commit record."""
        return RECORD + MEMBER * self.full

    @property
    def files(self) -> int:
        """Rows and record of every shard, moments of every group."""
        return 2 * self.shards + self.groups


def measure(folder: str, seed: int) -> list[Result]:
    """Print the tables of `infra/scale.md`; the results are the hours."""
    print("\n\n".join(tables()), flush=True)
    return [Result(_title(run), run.seconds / 3600, "h") for run in _runs()]


def _title(run: Extraction) -> str:
    images, per_shard, gpus = _named(run)
    return f"scale: {images} images, {per_shard} a shard, {gpus} GPUs"


def _runs() -> list[Extraction]:
    runs = [Extraction(images, gpus) for images in IMAGES for gpus in GPUS]
    return [*runs, Extraction(IMAGES[-1], GPUS[-1], 10 * IMAGES_PER_SHARD)]


def tables() -> Iterable[str]:
    """Time and cost; what lies on disk; what the machines around the GPUs must deliver."""
    yield _markdown(TIME, _time())
    yield _markdown(DISK, _disk())
    yield _markdown(FLOW, _flow())


def _time() -> Iterable[list[str]]:
    for run in _runs():
        parts = (run.start, run.model, run.writing, run.driver, run.merging)
        whole = f"{_duration(run.seconds)} | ${run.cost:,.{0 if run.cost > 10 else 2}f}"
        yield [*_named(run), whole, *map(_duration, parts)]


def _disk() -> Iterable[list[str]]:
    for run in _runs():
        sizes = (run.images * ROW, run.groups * MOMENTS, run.shards * run.record)
        held = run.shards * DRIVER_MEMORY
        memory = (held, held + run.shards * RECORD_MEMORY)
        counts = [f"{run.groups:,}", *map(_bytes, sizes), _count(run.files)]
        yield [*_named(run), *counts, *map(_bytes, memory)]


def _flow() -> Iterable[list[str]]:
    for gpus in GPUS:
        rate = RATE * gpus
        shards = rate / IMAGES_PER_SHARD
        # A shard is looked at before and after it is read; rows and record are written.
        requests = (4 + ceil(IMAGES_PER_SHARD * IMAGE / BLOCK)) * shards
        moments = MOMENTS / (full_size({"pairs": PAIRS}, 0) * IMAGES_PER_SHARD)
        yield [
            str(gpus),
            f"{rate:,.0f}",
            f"{rate / DECODED:,.1f}",
            f"{_bytes(rate * IMAGE)}/s",
            f"{_bytes(rate * (ROW + moments))}/s",
            f"{requests:,.0f}",
        ]


def _named(run: Extraction) -> list[str]:
    return [_count(run.images), f"{run.per_shard:,}", str(run.gpus)]


def _markdown(head: str, rows: Iterable[list[str]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " ---: |" * columns]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _count(value: int) -> str:
    for size, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return str(value)


def _bytes(value: float) -> str:
    for size, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e3:.3g} kB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
