"""What the weights fix once for all images: the norms and Grams of the directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nhd_ops.contributions import Directions


@dataclass(frozen=True, eq=False)
class Geometry:
    """The directions with everything that `moments_of` would otherwise compute per batch."""

    directions: Directions
    norms: Tensor
    """[H,C], ‖u‖."""
    neuron_gram: Tensor
    """[C,H,H], ⟨u[h,n], u[h',n]⟩."""
    head_gram: Tensor
    """[H,E,E], W_o^hᵀ W_o^h."""

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Geometry:
        """The same geometry on another device or in another floating type."""
        return Geometry(
            self.directions.to(device, dtype),
            self.norms.to(device=device, dtype=dtype),
            self.neuron_gram.to(device=device, dtype=dtype),
            self.head_gram.to(device=device, dtype=dtype),
        )


def geometry_of(directions: Directions) -> Geometry:
    """Compute norms and Grams, at the cost of about one [C,H,D] product in blocks."""
    return Geometry(
        directions, directions.norms(), directions.neuron_gram(), directions.head_gram()
    )
