"""`nhd calibrate`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import CpusPerWorker, Flag, GpusPerWorker, ReadsPerNode, Workers, resources


@dataclass(frozen=True)
class Calibrate:
    """A run of a reference sample to a lens, through which later runs give comparable scores."""

    run: str
    """The run folder; it must have concepts. Fit it first for a lens with words."""
    out: str
    """Where the lens goes: a path or URL. Running again resumes it, or keeps what is there."""
    candidates: int = 40
    """Pairs per concept that may get a weight in its grounded score."""
    folds: int = 5
    """Parts of the images; each is left out once, to find out how many candidates to take."""
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
        from pipelines.lens.calibrate import CalibratePlan
        from pipelines.lens.calibrate import calibrate as run
        from pipelines.lens.summary import summary

        plan = CalibratePlan(
            run=self.run,
            out=self.out,
            candidates=self.candidates,
            folds=self.folds,
            batch_size=self.batch_size,
            device=self.device,
            resources=resources(self),
            in_process=self.in_process,
        )
        lens = run(plan)
        for line in summary(self.out):
            print(line)
        print(
            f"{len(lens.texts)} concepts calibrated on {lens.info['images']} images: "
            f"{self.out.rstrip('/')}"
        )
