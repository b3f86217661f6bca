"""`nhd atlas`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import CpusPerWorker, Flag, GpusPerWorker, ReadsPerNode, Workers, resources


@dataclass(frozen=True)
class Atlas:
    """A site to browse what a model has learned: its pairs and neurons with images and words."""

    run: str
    """The run folder, fitted."""
    out: str
    """The folder of the site; `index.html` in it opens from the file system. Run again after the
    run has grown, pages that were there stay where they are."""
    beside: str | None = None
    """Another run of the same model, whose histograms are shown beside the run's."""
    pairs: int = 1000
    """How many of the most important pairs have a page, besides the strongest heads of neurons."""
    neurons: int = 200
    """How many of the most important neurons have a page."""
    tiles: int = 8
    """Images on each side of a pair, and of a neuron."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    workers: Workers = 0
    cpus_per_worker: CpusPerWorker = 0.0
    gpus_per_worker: GpusPerWorker = 0.0
    reads_per_node: ReadsPerNode = 0
    in_process: Flag = False
    """Run here, without Ray."""

    def __call__(self) -> None:
        from pipelines.atlas.job import atlas
        from pipelines.atlas.plan import AtlasPlan
        from pipelines.io.urls import redact

        found = atlas(
            AtlasPlan(
                run=self.run,
                out=self.out,
                beside=self.beside,
                pairs=self.pairs,
                neurons=self.neurons,
                tiles=self.tiles,
                device=self.device,
                resources=resources(self),
                in_process=self.in_process,
            )
        )
        for reason in found.gone:
            print(reason)
        if found.missing:
            print(f"tiles without an image, which could not be read again: {found.missing:,}")
        print(
            f"{found.pages:,} pages, {found.pairs:,} of them of pairs (with the strongest heads of "
            f"the neurons) and {found.neurons:,} of neurons:"
        )
        print(redact(found.index))
