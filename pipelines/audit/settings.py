"""What an audit is to do: the keys of its configuration file, each with what it means."""

from dataclasses import dataclass, field
from typing import Literal

from pipelines.model_spec import How, ModelSpec
from pipelines.run.resources import Resources

Limits = dict[str, float | None]


DEFAULT_LIMIT = 0.2
"""Of concepts and labels that are not named; at least the floor."""


def _common() -> Limits:
    return {}


@dataclass(frozen=True)
class Model:
    """The model that images are read with."""

    name: str = "tiny"
    """`tiny`, which ships with nhd, or an open_clip ResNet: RN50, RN101, RN50x4, RN50x16, ..."""
    pretrained: str | None = None
    """open_clip's tag of the weights, such as `openai`; `none` for random weights."""
    checkpoint: str | None = None
    """A file with the weights."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the convolutions."""
    preprocess: How = "fast"
    """`exact` is open_clip's own transform, bit by bit."""

    @property
    def spec(self) -> ModelSpec:
        """Name, tag and file."""
        return ModelSpec(self.name, self.pretrained, self.checkpoint)


@dataclass(frozen=True)
class Baseline:
    """What an audit is compared with: one of `reference` and `run`, or `previous`, or both."""

    reference: str | None = None
    """Shards of a reference sample, which is extracted once and then kept."""
    run: str | None = None
    """A run folder that is there already."""
    previous: bool = False
    """The latest audit of the series that passed; the first one has the reference or run, if one
    is given, and else nothing to be compared with."""


@dataclass(frozen=True)
class Calibration:
    """How a lens is fitted on the reference sample."""

    words: str | None = None
    """The dictionary that names pairs: `scenes`, `common:30000`, or a file with a word per line."""
    candidates: int = 40
    """Pairs per concept among which grounded ones are chosen."""


@dataclass(frozen=True)
class Calibrated:
    """A lens to be fitted."""

    calibrate: Calibration = field(default_factory=Calibration)
    """How; everything has a default."""


@dataclass(frozen=True)
class Compare:
    """How the two sides are compared."""

    measure: Literal["auto", "grounded", "similarity", "score", "share"] = "auto"
    """What decides on concepts; `auto` is grounded with a lens, similarity without one."""
    floor: float = 0.1
    """Smallest effect that counts as a change; limits lie at or above it."""
    cluster: str = "auto"
    """What resampling keeps together, because images in it resemble each other: `auto`, `none`,
    `shard`, or a column."""
    seed: int = 0
    """Of random splits."""


@dataclass(frozen=True)
class Schedule:
    """How many audits there will be, and how many false alarms may be among them."""

    audits: int = 52
    """Audits that the false alarms are promised for, with `even`."""
    false_alarms: float = 0.05
    """The probability that a series in which nothing changes raises any alarm."""
    spending: Literal["even", "forever"] = "even"
    """`even` gives each of `audits` audits the same share; `forever` has no end, but trusts each
    audit a little less than the one before."""


@dataclass(frozen=True)
class Family:
    """Pairs that are watched together, named in one of three ways."""

    limit: float | None
    """Largest |d| of a pair of the family that may pass; `off` for none."""
    pairs: tuple[int, ...] = ()
    """Numbers of pairs: head · neurons + neuron."""
    neurons: tuple[int, ...] = ()
    """All pairs of these neurons."""
    heads: tuple[int, ...] = ()
    """All pairs of these heads."""


@dataclass(frozen=True)
class Thresholds:
    """When an audit fails. Each may be `off`."""

    concepts: Limits | None = field(default_factory=_common)
    """Largest |d| of a concept, by its text, and `default` for those not named."""
    labels: Limits | None = field(default_factory=_common)
    """Largest |h| of a label, likewise."""
    pairs: dict[str, Family] | None = None
    """Families of pairs by names of your own."""
    auc: float | None = 0.6
    """AUC of a classifier that tells the two sides apart; 0.5 is chance."""
    rejects: float | None = 0.1
    """Share of the samples that could not be used."""
    missing: float | None = 0.1
    """Share of the images that lack a value in one of the columns."""


@dataclass(frozen=True)
class Notify:
    """Who is told."""

    command: tuple[str, ...] = ()
    """A program and its arguments, one word each (no shell); the verdict is its standard input. A
    script may lie beside the file, and goes along where `nhd submit` sends the audit."""
    when: Literal["always", "crossed"] = "always"
    """`crossed` tells of failures only."""
    timeout: float = 60.0
    """Seconds after which it is ended."""


@dataclass(frozen=True)
class Running:
    """How extraction runs; nothing here changes a number."""

    workers: int = 0
    """Ray actors; 0 means as many as the nodes have room for, also those that join later."""
    cpus_per_worker: float = 0.0
    """CPUs of each worker; 0 means 4 where nodes have them, 1 beside a GPU."""
    gpus_per_worker: float = 0.0
    """GPUs of each worker, also parts such as 0.5; 0 means one where the model runs on it."""
    reads_per_node: int = 0
    """Files that the workers of a node read from a store at once; 0 sets no limit."""
    in_process: bool = False
    """Run in one process, without Ray."""
    batch_size: int = 0
    """Images per forward pass; 0 chooses."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    decode_threads: int = 0
    """Image-decoding threads per worker; 0 chooses."""
    lease_timeout: float = 600.0
    """Seconds without any progress after which a worker is ended."""

    @property
    def resources(self) -> Resources:
        """What a step may take of the cluster."""
        return Resources(
            self.workers, self.cpus_per_worker, self.gpus_per_worker, self.reads_per_node
        )


@dataclass(frozen=True)
class Settings:
    """An audit, as its configuration file has it. Local paths are relative to that file."""

    audit: str
    """A title."""
    out: str
    """Folder of the series: a local path or any fsspec URL."""
    input: str
    """The shards to be audited: path or URL with braces and globs, several separated by commas,
    or @file. `{name}`, `{date}` and `{week}` stand for this audit's."""
    name: str = "{date}"
    """Name of this audit in the series: `{date}` (2026-03-01) and `{week}` (2026-W09) are today's,
    in UTC; `--name` says it outright."""
    model: Model = field(default_factory=Model)
    """The model."""
    concepts: tuple[str, ...] = ()
    """Texts that every image is scored on, as a list or as a file with one per line."""
    labels: tuple[str, ...] = ()
    """Boolean fields of the samples' JSON whose shares are watched."""
    columns: tuple[str, ...] = ()
    """Further fields of the samples' JSON to keep, and to count missing values of."""
    buckets: str | None = None
    """A field of the samples' JSON; moments are also kept per value, for `nhd compare --by`."""
    baseline: Baseline = field(default_factory=Baseline)
    """What this audit is compared with."""
    lens: str | Calibrated = "auto"
    """`calibrate`, `none`, or the URL of a lens; `auto` calibrates on the reference, takes the
    lens of `baseline.run`, or has none."""
    compare: Compare = field(default_factory=Compare)
    """How the two are compared."""
    schedule: Schedule = field(default_factory=Schedule)
    """How often, and how many false alarms."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """When an audit fails."""
    allow_failed_shards: float = 0.0
    """Share of the shards that may fail; with more the audit is incomplete and has no verdict."""
    notify: Notify = field(default_factory=Notify)
    """Who is told."""
    run: Running = field(default_factory=Running)
    """How it runs."""

    @property
    def calibration(self) -> Calibration | None:
        """How the lens is fitted, where it is to be."""
        if isinstance(self.lens, Calibrated):
            return self.lens.calibrate
        wanted = self.lens == "calibrate" or (self.lens == "auto" and self.baseline.reference)
        return Calibration() if wanted else None

    @property
    def fixed_lens(self) -> str | None:
        """The URL of a lens that is given."""
        word = self.lens if isinstance(self.lens, str) else "calibrate"
        return None if word in ("auto", "calibrate", "none") else word
