"""What the main direction of a neuron goes with: labels, exactly, and the neurons nearest to it.

A neuron adds Σ_h s_h u_h to the embedding; along its first component v that is one number for each
image, t = Σ_h a_h s_h with a_h = ⟨v, u_h⟩. With the covariance S of s over the run, its correlation
with a label follows from those of its heads: r = Σ_h a_h √S_hh r_h / √(aᵀ S a).
"""

from dataclasses import dataclass

import numpy as np
import torch

from nhd_ops.contributions import Directions
from pipelines.atlas.model import Label, NearNeuron
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import words

NEIGHBOURS = 8


@dataclass(frozen=True, eq=False)
class NeuronFacts:
    """By neuron, for those with a page."""

    labels: dict[int, tuple[Label, ...]]
    """Of t with every label that varies, strongest first; none where t does not vary."""
    near: dict[int, tuple[NearNeuron, ...]]
    """Those whose v is most like, most alike first."""


def neuron_facts(fitted: Fitted, neurons: list[int]) -> NeuronFacts:
    """Needs the first components as the fit stored them."""
    main = _main_directions(fitted)
    names = fitted.info["labels"]
    of_pairs = fitted.pairs[[f"r_{name}" for name in names]].to_numpy(np.float64)
    by_head = of_pairs.reshape(fitted.directions.heads, -1, len(names))  # [H,C,L]
    exact = fitted.directions.to(dtype=torch.float64)  # whatever the number of threads
    found = {n: _correlations(fitted, exact, n, main[n], by_head[:, n]) for n in neurons}
    return NeuronFacts(
        {n: _labels(names, r) for n, r in found.items()},
        {n: _near(fitted, main, n) for n in neurons},
    )


def _main_directions(fitted: Fitted) -> np.ndarray:
    """[C,D] of unit length, or zero."""
    table = fitted.run.table("fit/neurons.parquet", ["direction"], [("rank", "=", 0)])
    found = np.stack(table["direction"].to_numpy()).astype(np.float64)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(norms > 0, norms, 1))


def _correlations(
    fitted: Fitted, exact: Directions, neuron: int, direction: np.ndarray, by_head: np.ndarray
) -> np.ndarray:
    """[L] from those of the heads [H,L]; a head that does not vary has none and adds nothing."""
    vectors = exact.neuron_vectors(torch.tensor([neuron]))[0].numpy()  # [H,D]
    moments = fitted.moments.neurons
    covariance = moments.comoment[neuron].double().numpy() / moments.count
    parts = vectors @ direction  # [H]
    spread = np.sqrt(parts @ covariance @ parts)
    if not spread > 0:
        return np.full(by_head.shape[1], np.nan)
    weights = parts * np.sqrt(np.diagonal(covariance))
    still = weights == 0
    r = (weights[~still, None] * by_head[~still]).sum(0) / spread
    return np.asarray(np.clip(r, -1, 1))


def _labels(names: list[str], r: np.ndarray) -> tuple[Label, ...]:
    found = [Label(name, float(x)) for name, x in zip(names, r, strict=True) if not np.isnan(x)]
    return tuple(sorted(found, key=lambda label: -abs(label.r)))


def _near(fitted: Fitted, main: np.ndarray, neuron: int) -> tuple[NearNeuron, ...]:
    cosines = np.clip(main @ main[neuron], -1, 1)
    cosines[neuron] = -2  # below any cosine
    best = np.argsort(-cosines, kind="stable")[: min(NEIGHBOURS, len(main) - 1)]
    return tuple(
        NearNeuron(int(n), float(cosines[n]), tuple(words(fitted.neurons.iloc[int(n)])))
        for n in best
    )
