"""What each command can be told: one frozen dataclass per command, a docstring per field."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import tyro

Flag = tyro.conf.FlagCreatePairsOff[bool]
Dtype = Literal["float32", "bfloat16", "float16"]
Speed = Literal[
    "start",
    "decode",
    "compute",
    "pipeline",
    "storage",
    "omp",
    "fit",
    "compare",
    "schedule",
    "scale",
]
Measure = Literal[Speed, "gpu", "faults", "memory"]
SPEED: tuple[Speed, ...] = get_args(Speed)


@dataclass(frozen=True)
class Extract:
    """Images to rows: pair norms and concept scores as Parquet, with mergeable moments."""

    data: str
    """Shards: path or URL with braces and globs, several separated by commas, or @file."""
    out: str
    """The run folder: a local path or any fsspec URL. Running again resumes it."""
    model: str = "tiny"
    """`tiny`, which ships with nhd, or an open_clip ResNet: RN50, RN101, RN50x4, RN50x16, ..."""
    pretrained: str | None = None
    """open_clip's tag of the weights, such as `openai`; `none` for random weights."""
    checkpoint: str | None = None
    """A file with the weights: an open_clip state dict, safetensors or torch."""
    concepts: str = ""
    """Texts to score each image on: `yellow,car`, or a file with one per line."""
    pairs_per_concept: int = 5
    """How many pairs make up a concept's share and score; the paper takes 5."""
    columns: str = ""
    """Fields of the samples' JSON to keep as columns: `year,source`."""
    labels: str = ""
    """Boolean (or 0/1) fields of the samples' JSON to correlate every pair with."""
    buckets: str | None = None
    """A field of the samples' JSON; moments are also kept per value, for `compare --by`."""
    top_pairs: int = 256
    """How many pairs of largest norm are kept per image."""
    keep: Literal["sparse", "dense"] = "sparse"
    """`dense` also keeps every coefficient (about 0.3 MB an image on RN50x16)."""
    batch_size: int = 0
    """Images per forward pass; 0 means 32 on a CPU, and what a short probe finds on a GPU."""
    dtype: Dtype = "float32"
    """Precision of the convolutions; the attention pool always runs in float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    preprocess: Literal["fast", "exact"] = "fast"
    """`exact` is open_clip's own transform, bit by bit; `fast` rounds otherwise, on JPEGs only."""
    workers: int = 0
    """Ray actors; 0 means one per GPU, or one per four CPU cores."""
    decode_threads: int = 0
    """Image-decoding threads per worker; 0 chooses by the number of cores."""
    in_process: Flag = False
    """Run here, without Ray."""
    lease_timeout: float = 600.0
    """Seconds without any progress after which a worker is ended and its shards leased again."""
    redo_changed: Flag = False
    """Extract committed shards anew whose size or version has changed since."""


@dataclass(frozen=True)
class Fit:
    """Moments to meaning: directions, components, sparse codes in words, exemplars."""

    run: str
    """The run folder."""
    words: str | None = None
    """The dictionary: `scenes`, `common:30000` (needs wordfreq), or a file with one word per line.
    By default `scenes` for the tiny model and `common:10000` for others."""
    atoms: int = 64
    """Words per code; 0 for no codes, which on a large model take most of the time."""
    templates: Flag = False
    """Embed words in open_clip's 80 templates rather than bare."""
    fit_on: Literal["all", "top50"] = "all"
    """Which images the components of neurons and heads are fitted on."""
    in_process: Flag = False
    """Run here, without Ray."""


@dataclass(frozen=True)
class Compare:
    """Two runs, or two buckets of one, to a report of what changed."""

    out: str
    """Where the report and its tables go."""
    baseline: str | None = None
    """The run folder to compare with."""
    current: str | None = None
    """The run folder that may have changed."""
    run: str | None = None
    """One run folder, to be split by a column."""
    by: str | None = None
    """The column that splits it, such as `year`."""
    values: str = ""
    """Two values of the column, `2019,2024`; by default the first and the last."""
    alpha: float = 0.01
    """False-discovery rate."""
    floor: float = 0.1
    """Smallest effect (Cohen's d or h) that counts as a change."""
    seed: int = 0
    """Seed of the random splits."""


@dataclass(frozen=True)
class Status:
    """Progress and health of a run folder, from the folder alone."""

    run: str
    """The run folder."""
    json: Flag = False
    """Print JSON."""
    check: Flag = False
    """Also read every file again and compare it with the commit records."""


@dataclass(frozen=True)
class Scenes:
    """Generate captioned scenes with known truth, as WebDataset shards."""

    out: str
    """The folder to write to."""
    count: int
    """How many scenes."""
    seed: int = 0
    """Scene i of a seed is always the same."""
    boost: str = ""
    """Make attributes more frequent: `yellow=3,car=2` multiplies their sampling weights."""
    per_shard: int = 500
    """Scenes per shard."""
    size: int = 128
    """Width and height in pixels."""
    objects: Literal[1, 2] | None = None
    """Objects per scene; one or two by default."""


@dataclass(frozen=True)
class Train:
    """Train the tiny CLIP on generated scenes."""

    out: str
    """The safetensors file to write; its record goes beside it as JSON."""
    seed: int = 0
    """Seed of the scenes, the captions and the initial weights."""
    scenes: int = 40_000
    """How many different scenes."""
    steps: int = 2400
    """Steps of the one-cycle schedule."""
    batch_size: int = 256
    """Scenes per step."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; bfloat16 autocast is used on both."""


@dataclass(frozen=True)
class Demo:
    """The whole study on generated scenes with the tiny model, in minutes."""

    out: str = "demo"
    """The folder to write to."""
    images: int = 2500
    """Scenes in each of the two datasets."""
    in_process: Flag = False
    """Run without Ray."""


@dataclass(frozen=True)
class Bench:
    """Measure this machine: what bounds a job here, and whether what is promised holds."""

    what: tyro.conf.Positional[tuple[Measure, ...]] = SPEED
    """`start`: the command itself. `storage`: bytes per image at RN50x16's size. `schedule`: what a
    shard costs the driver, and how long workers wait for the last one. `scale`: cost and time of
    up to 5 billion images, computed from such figures. `faults`: 200 shards while workers, nodes
    and drivers are killed at random. `memory`: ten times as many images take no more of it.
    `decode`, `compute` and `pipeline`: images per second, by parts and end to end. `omp`: sparse
    codes against scikit-learn, and against their matrix products. `fit`: RN50x16's 147,456 pairs
    without codes. `compare`: two runs of that size. `gpu`: `compute` on an NVIDIA GPU."""
    out: str | None = None
    """An empty folder to work in, kept afterwards; by default a temporary one."""
    json: str | None = None
    """Also write the results to this file."""
    seed: int = 0
    """Which things are killed when."""


Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Extract, tyro.conf.subcommand("extract")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Status, tyro.conf.subcommand("status")]
    | Annotated[Scenes, tyro.conf.subcommand("scenes")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Train, tyro.conf.subcommand("train")]
)
