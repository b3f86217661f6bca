"""`nhd extract`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import (
    CpusPerWorker,
    Dtype,
    Flag,
    GpusPerWorker,
    ReadsPerNode,
    Workers,
    names,
    resources,
    texts,
)
from pipelines.io.urls import redact


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
    lens: str | None = None
    """A lens of `nhd calibrate` to score through: its concepts, and centred and grounded scores."""
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
    workers: Workers = 0
    cpus_per_worker: CpusPerWorker = 0.0
    gpus_per_worker: GpusPerWorker = 0.0
    reads_per_node: ReadsPerNode = 0
    decode_threads: int = 0
    """Image-decoding threads per worker; 0 chooses by the number of cores."""
    in_process: Flag = False
    """Run here, without Ray."""
    lease_timeout: float = 600.0
    """Seconds without any progress after which a worker is ended and its shards leased again."""
    redo_changed: Flag = False
    """Extract committed shards anew whose size or version has changed since."""

    def __call__(self) -> None:
        from pipelines.extract.job import extract as run
        from pipelines.extract.plan import Plan
        from pipelines.model_spec import ModelSpec

        plan = Plan(
            data=self.data,
            out=self.out,
            model=ModelSpec(self.model, self.pretrained, self.checkpoint),
            concepts=texts(self.concepts),
            lens=self.lens,
            pairs_per_concept=self.pairs_per_concept,
            columns=names(self.columns),
            labels=names(self.labels),
            bucket=self.buckets,
            top_pairs=self.top_pairs,
            keep=self.keep,
            dtype=self.dtype,
            batch_size=self.batch_size,
            device=self.device,
            preprocess=self.preprocess,
            resources=resources(self),
            decode_threads=self.decode_threads,
            in_process=self.in_process,
            lease=self.lease_timeout,
            redo_changed=self.redo_changed,
        )
        totals = run(plan)
        print(
            f"{totals['written']} images written, {totals['rejected']} rejected, "
            f"of {totals['read']} read: {redact(self.out)}"
        )
