"""Non-negative least squares from a Gram matrix alone: no image is needed once moments exist.

`min ‖Z w - y‖²` over w ≥ 0 depends on ZᵀZ and Zᵀy only. With ZᵀZ = V Λ Vᵀ it is the same problem as
`min ‖Λ^½ Vᵀ w - Λ^-½ Vᵀ Zᵀy‖²`, which scipy solves exactly (Lawson and Hanson, *Solving Least
Squares Problems*, 1974, chapter 23).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

RANK = 1e-10
"""Eigenvalues below this part of the largest are taken for zero: a column that repeats others."""


def nonnegative_least_squares(gram: Tensor, target: Tensor) -> Tensor:
    """Weights [N,k] fp64, ≥ 0, of N problems: Grams ZᵀZ [N,k,k] and Zᵀy [N,k].

    A column of no length has weight 0. Of columns that repeat each other any split of the weight
    fits as well; the solver's is returned.
    """
    values, vectors = torch.linalg.eigh(gram.double())
    kept = values > RANK * values[:, -1:].clamp_min(0)
    root = torch.where(kept, values, 0.0).sqrt()  # [N,k]
    rotated = (vectors.mT @ target.double()[..., None]).squeeze(-1)
    right = torch.where(kept, rotated / torch.where(kept, root, 1.0), 0.0)
    left = root[..., None] * vectors.mT  # [N,k,k]
    solved = [_solve(a, b) for a, b in zip(left.numpy(), right.numpy(), strict=True)]
    weights = torch.from_numpy(np.stack(solved)) if solved else target.double()
    return torch.where(gram.diagonal(dim1=-2, dim2=-1) > 0, weights, 0.0)


def _solve(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    weights: np.ndarray = nnls(left, right, maxiter=100 * len(right))[0]
    return weights
