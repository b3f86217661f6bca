"""What `nhd fit` without codes takes on RN50x16: 147,456 pairs, 48 heads, 3,072 neurons."""

import sys

import torch

from nhd_ops.sparse_code import prepare_dictionary
from pipelines.analyse.fit import FitPlan, fit_moments
from pipelines.analyse.fit_tables import Dictionary
from pipelines.bench import rn50x16
from pipelines.bench.child import cost
from pipelines.bench.result import Result
from pipelines.bench.runs import write_run
from pipelines.io.store import Run
from pipelines.models import load_model

IMAGES = 20_000
WORDS = 10_000
SECONDS = 90.0
PEAK = 6.0  # GB


def measure(folder: str, seed: int) -> list[Result]:
    """See `without_codes` and `command`."""
    return [*without_codes(folder, seed), *command(folder, seed)]


def without_codes(folder: str, seed: int, images: int = IMAGES) -> list[Result]:
    """From a run folder to all tables of `fit/`, words among them, in a process of its own.

    The model's directions and the words' embeddings are random: loading the one and embedding the
    others are left out.
    """
    run = write_run(f"{folder}/run", images, seed, weights="none")
    taken = cost(["-m", __name__, run], f"{folder}/without-codes.log")
    return [
        Result("fit: without codes, model and words given", taken.seconds, "s", most=SECONDS),
        Result("fit: peak memory of it", taken.peak / 1e9, "GB", most=PEAK),
    ]


def command(folder: str, seed: int, images: int = IMAGES) -> list[Result]:
    """`nhd fit --atoms 0` as a user runs it, with random weights; and how long these load."""
    log = f"{folder}/load.log"
    loading = cost(["-c", "import pipelines.models as m; m.load_model('RN50x16', 'none')"], log)
    sha256 = load_model("RN50x16", "none").weights_sha256
    run = write_run(f"{folder}/whole", images, seed, sha256)
    words = f"{folder}/words.txt"
    with open(words, "w") as file:
        file.writelines(f"{i // 1000} {i % 1000}\n" for i in range(WORDS))
    arguments = ["-m", "jobs.cli", "fit", "--run", run, "--atoms", "0", "--words", words]
    taken = cost(arguments, f"{folder}/command.log")
    return [
        Result("fit: the command, embedding 10,000 words", taken.seconds, "s"),
        Result("fit: peak memory of the command", taken.peak / 1e9, "GB"),
        Result("fit: of the command, starting and loading the weights", loading.seconds, "s"),
    ]


def alone(run: str) -> None:
    """The fit of a run with random directions and words."""
    generator = torch.Generator().manual_seed(0)
    atoms = prepare_dictionary(torch.randn(WORDS, rn50x16.WIDTH, generator=generator))
    dictionary = Dictionary([f"word {i}" for i in range(WORDS)], atoms)
    directions = rn50x16.geometry().directions
    fit_moments(FitPlan(run, atoms=0), Run(run).moments(), directions, dictionary)


if __name__ == "__main__":
    alone(sys.argv[1])
