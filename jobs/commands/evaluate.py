"""`nhd evaluate`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import (
    CpusPerWorker,
    Flag,
    GpusPerWorker,
    ReadsPerNode,
    Workers,
    names,
    resources,
    usage,
)


@dataclass(frozen=True)
class Evaluate:
    """Zero-shot accuracy of reconstructions, ablations and word codes; how pure units are."""

    run: str
    """The run folder; it need not be fitted."""
    data: str | None = None
    """Labelled shards, as for extract; by default those that the run was made from."""
    classes: str | None = None
    """`scene-things` (the default for the tiny model), `scene-parts`, `imagenet`, names with commas
    between them, or a file: one class per line, or classes.json."""
    truth: str = "class"
    """The field of the samples' JSON that holds the class: its name, or its number from 0 on."""
    words: str | None = None
    """The dictionary of the codes, as for fit."""
    atoms: str = "4,8,16,32,64,128"
    """Words per direction; `0` for no codes, which on a large model take by far the longest."""
    out: str | None = None
    """Where to write: a path or URL; by default `<run>/evaluate`. Running again resumes it."""
    batch_size: int = 0
    """Images per forward pass; 0 means 32 on a CPU, 128 on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    workers: Workers = 0
    cpus_per_worker: CpusPerWorker = 0.0
    gpus_per_worker: GpusPerWorker = 0.0
    reads_per_node: ReadsPerNode = 0
    in_process: Flag = False
    """Run here, without Ray."""

    def __call__(self) -> None:
        from pipelines.evaluate.job import evaluate as run
        from pipelines.evaluate.page import headline
        from pipelines.evaluate.plan import EvaluatePlan

        atoms = usage(lambda text: tuple(map(int, names(text))), self.atoms)
        plan = EvaluatePlan(
            run=self.run,
            data=self.data,
            classes=self.classes,
            truth=self.truth,
            words=self.words,
            atoms=() if atoms == (0,) else atoms,
            out=self.out,
            batch_size=self.batch_size,
            device=self.device,
            resources=resources(self),
            in_process=self.in_process,
        )
        found = run(plan)
        print(f"{headline(found)}: {self.out or self.run.rstrip('/') + '/evaluate'}/index.html")
