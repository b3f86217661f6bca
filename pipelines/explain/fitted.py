"""A fitted run with its model, as all explanations need it."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from safetensors.torch import load
from torch import Tensor

from nhd_ops import attention_pool, components, sub_concepts
from nhd_ops.attention_pool import AttentionPool
from nhd_ops.contributions import Directions
from nhd_ops.moments import Moments, from_tensors
from pipelines.analyse.same_model import model_of, preprocessing_of
from pipelines.errors import UsageError
from pipelines.io.store import Run, moments_header
from pipelines.models import LoadedModel

MOMENTS = "fit/moments.safetensors"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is read once, whatever is explained."""

    run: Run
    info: dict[str, Any]
    loaded: LoadedModel
    pool: AttentionPool
    directions: Directions
    moments: Moments
    """Of the fit; image ids are row numbers of the run's images."""
    pairs: pd.DataFrame
    """fit/pairs.parquet, in the order of pairs."""
    neurons: pd.DataFrame
    """fit/neurons.parquet, the first component of each, without directions."""

    exemplars: pa.Table
    """fit/exemplars.parquet: as many rows for every pair."""

    def pair(self, head: int, neuron: int) -> int:
        """pair = head·C + neuron."""
        return head * self.directions.neurons + neuron

    def gram(self, neuron: int) -> Tensor:
        """[H,H], ⟨u[h,n], u[h',n]⟩."""
        return self.directions.neuron_gram(torch.tensor([neuron]))[0]

    def shares(self, neurons: Tensor | None = None) -> Tensor:
        """[n,H]: each head's part of its neuron's variance (nhd_ops/README.md, section 3)."""
        if neurons is None:
            neurons = torch.arange(self.directions.neurons)
        moments = self.moments.neurons
        covariance = moments.comoment[neurons] / moments.count
        exact = self.directions.to(dtype=torch.float64)  # whatever the number of threads
        return sub_concepts.head_shares(covariance, exact.neuron_gram(neurons))

    def signed(self, pairs: Tensor) -> Tensor:
        """sign·u/‖u‖ of some pairs: [P] → [P,D]."""
        return components.pair_components(self.directions, pairs, self.signs)

    @property
    def signs(self) -> Tensor:
        """[H,C] of ±1, as fitted."""
        flat = torch.tensor(self.pairs["sign"].to_numpy()).float()
        return flat.view(self.directions.heads, self.directions.neurons)


def open_fitted(url: str) -> Fitted:
    """Read what a run's fit holds and load its model.

    Raises UsageError where there is no run or no fit, where images were added since the fit, and
    where the model's weights or preprocessing are not those of the run.
    """
    run = Run(url)
    info = run.info
    pairs = run.table("fit/pairs.parquet").to_pandas()
    neurons = run.table("fit/neurons.parquet").drop_columns(["direction"]).to_pandas()
    exemplars = run.table("fit/exemplars.parquet")
    moments = _moments(run)
    loaded = model_of(run)
    loaded = replace(loaded, pixels=replace(loaded.pixels, how=preprocessing_of(run, loaded)))
    pool = attention_pool.attention_pool_of(loaded.model.visual)
    directions = attention_pool.directions_of(pool)
    first = neurons[neurons["rank"] == 0].reset_index(drop=True)
    return Fitted(run, info, loaded, pool, directions, moments, pairs, first, exemplars)


def _moments(run: Run) -> Moments:
    if not run.exists(MOMENTS):
        raise UsageError(f"{run.url} has no {MOMENTS}; run nhd fit --run {run.url} first")
    data = run.read(MOMENTS)
    moments = from_tensors(load(data), moments_header(data)["buckets"])
    images = sum(record["written"] for record in run.records())
    if moments.count != images:
        raise UsageError(
            f"{run.url} was fitted on {moments.count} images and now holds {images}; run nhd fit "
            f"--run {run.url} again"
        )
    return moments
