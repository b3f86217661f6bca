"""How fast directions are coded: against scikit-learn, and against the matrix product itself."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from sklearn.decomposition import SparseCoder
from sklearn.linear_model import orthogonal_mp_gram
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops.sparse_code import omp
from pipelines.bench import rn50x16
from pipelines.bench.child import peak
from pipelines.bench.paired import Times, interleaved, quartiles, speed
from pipelines.bench.result import Result

WIDTH = 768
ATOMS = 64
PER_CALL = 16  # signals of one call of scikit-learn, as in the code published with the paper
PER_BLOCK = 256  # signals of one block of ours
PRODUCTS = 8  # timed together, of the ATOMS that a code takes
REPEATS = 3
MEMORY = 4e9  # bytes
Kind = Literal["random", "coherent"]


def measure(folder: str, seed: int) -> list[Result]:
    """See `against_scikit_learn` and `against_the_product`; all on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            results = against_scikit_learn(10_000, seed)
    finally:
        torch.set_num_threads(before)
    # A process of its own, whose peak of memory is that of the coding.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        return results + child.submit(against_the_product, 30_000, seed).result()


def against_scikit_learn(words: int, seed: int) -> list[Result]:
    """Signals per second of ours and of two ways of scikit-learn, and whether they agree.

    SparseCoder makes its Gram matrix on each call; orthogonal_mp_gram is given one, whose making
    is not timed.
    """
    dictionary, signals = problem("random", words, PER_BLOCK // 2, seed)
    atoms, few, gram = dictionary.numpy(), signals[:PER_CALL].numpy(), _gram(dictionary)
    coder = SparseCoder(atoms, transform_algorithm="omp", transform_n_nonzero_coefs=ATOMS)
    times = _each(
        {
            "SparseCoder": (partial(coder.transform, few), PER_CALL),
            "orthogonal_mp_gram": (partial(_scikit_learn, atoms, few, gram), PER_CALL),
            "ours": (partial(omp, signals, dictionary, ATOMS), len(signals)),
        }
    )
    size = f"omp: {words} x {WIDTH}, {ATOMS} atoms"
    return [
        speed(size, times, "ours", "SparseCoder", unit="signals per s", least=10),
        speed(size, times, "ours", "orthogonal_mp_gram", unit="signals per s", least=3),
        agreement("random", words, PER_CALL, seed),
        agreement("coherent", words, PER_CALL, seed),
    ]


def agreement(kind: Kind, words: int, signals: int, seed: int) -> Result:
    """The share of signals whose supports are those that scikit-learn finds."""
    dictionary, some = problem(kind, words, signals, seed)
    ours = omp(some, dictionary, ATOMS).indices.sort(1).values
    theirs = _scikit_learn(dictionary.numpy(), some.numpy(), _gram(dictionary))
    same = [
        row.tolist() == np.flatnonzero(code).tolist()
        for row, code in zip(ours, theirs, strict=True)
    ]
    share = sum(same) / signals
    return Result(f"omp: supports as scikit-learn's, {kind} atoms", share, "of signals", least=1)


def against_the_product(words: int, seed: int) -> list[Result]:
    """Seconds of a code against those of its products of signals and dictionary in float32.

    Also the core hours that all pairs of RN50x16 take, and the peak of this process's memory;
    sets its number of threads to one.
    """
    torch.set_num_threads(1)
    dictionary, signals = problem("coherent", words, PER_BLOCK, seed)
    times = _each(
        {
            "products": (partial(_products, signals, dictionary), PER_BLOCK * PRODUCTS / ATOMS),
            "ours": (partial(omp, signals, dictionary, ATOMS), PER_BLOCK),
        }
    )
    ratios = [a / b for a, b in zip(times["ours"], times["products"], strict=True)]
    low, ratio, high = quartiles(ratios)
    ours, products = quartiles(times["ours"])[1], quartiles(times["products"])[1]
    size = f"omp: {words} x {WIDTH}, {ATOMS} atoms"
    return [
        Result(size, 1e3 * ours, "ms", 1e3 * products, "ms of products", ratio, low, high, most=2),
        Result(f"{size}: all {rn50x16.PAIRS} pairs", ours * rn50x16.PAIRS / 3600, "core hours"),
        Result(f"{size}: peak of memory", peak(os.getpid()) / 1e9, "GB", most=MEMORY / 1e9),
    ]


def problem(kind: Kind, words: int, signals: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit atoms [K,D] and signals [N,D]; coherent ones lie near 40 axes, signals near 8 atoms."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    if kind == "random":
        return normalize(noise(words, WIDTH), dim=1), normalize(noise(signals, WIDTH), dim=1)
    atoms = normalize(noise(words, 40) @ noise(40, WIDTH) / 40**0.5 + noise(words, WIDTH) / 2)
    mixed = noise(signals, 8) @ atoms[:8] + noise(signals, WIDTH) / WIDTH**0.5
    return atoms, normalize(mixed, dim=1)


def _each(contenders: Mapping[str, tuple[Callable[[], Any], float]]) -> Times:
    """Seconds per signal; with each contender comes how many signals it does."""
    times = interleaved({name: run for name, (run, _) in contenders.items()}, REPEATS)
    return {name: [t / contenders[name][1] for t in spent] for name, spent in times.items()}


def _products(signals: Tensor, dictionary: Tensor) -> None:
    for _ in range(PRODUCTS):
        signals @ dictionary.T


def _gram(dictionary: Tensor) -> np.ndarray[Any, Any]:
    gram: np.ndarray[Any, Any] = (dictionary @ dictionary.T).numpy()
    return gram


def _scikit_learn(
    atoms: np.ndarray[Any, Any], signals: np.ndarray[Any, Any], gram: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """[N,K]"""
    found: np.ndarray[Any, Any] = orthogonal_mp_gram(
        gram, atoms @ signals.T, n_nonzero_coefs=ATOMS
    ).T
    return found
