"""Batches of images, decomposed by one loaded model that is checked against itself."""

from typing import Any

import torch
from torch import Tensor

from nhd_ops import attention_pool, concepts, grounded
from nhd_ops.geometry import geometry_of
from nhd_ops.trunk import Trunk
from pipelines.errors import UsageError
from pipelines.lens.lens import Lens
from pipelines.models import DTYPES, LoadedModel, check_words, text_embeddings

TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest relative error of the self-check against the model in fp32."""
CHECKED = 16
"""How many images of the first batch are checked."""


class Decomposer:
    """A model with its geometry and concepts; images in, coefficients and embeddings out.

    Without a lens the k pairs of each text are chosen with all signs +1, and scores are not
    centred. With one, `texts` and `k` are its own, and so are pairs and means.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        texts: tuple[str, ...],
        k: int,
        dtype: str,
        device: str,
        lens: Lens | None = None,
    ) -> None:
        check_words(loaded, texts)
        self.loaded, self.dtype, self.device = loaded, dtype, device
        self.pool = attention_pool.attention_pool_of(loaded.model.visual)
        self.trunk = Trunk(loaded.model.visual, DTYPES[dtype])
        self.geometry = geometry_of(attention_pool.directions_of(self.pool))
        directions = self.geometry.directions
        empty = torch.zeros(0, directions.width)
        self.texts = (text_embeddings(loaded, texts) if texts else empty).to(device)  # [Q,D]
        self.lens = None if lens is None else lens.to(device)
        self.pairs = (
            concepts.concept_pairs(directions, self.texts, k)
            if self.lens is None
            else concepts.pairs_for(directions, directions.project(self.texts), self.lens.pairs)
        )
        self.checked = False

    def describe(self) -> dict[str, Any]:
        """What only the loaded model can tell: weights, preprocessing, sizes, concept pairs."""
        directions = self.geometry.directions
        return {
            "weights_sha256": self.loaded.weights_sha256,
            "preprocess_id": self.loaded.preprocess_id,
            "units": {
                "heads": directions.heads,
                "neurons": directions.neurons,
                "pairs": directions.pairs,
                "width": directions.width,
            },
            "concept_pairs": self.pairs.pairs.tolist(),
        }

    def measures(self, coefficients: Tensor, embedding: Tensor) -> concepts.Measures:
        """Share, score and similarity [B,Q] of every concept; with a lens the score is centred."""
        mean = None if self.lens is None else self.lens.mean
        return concepts.measures(coefficients, embedding, self.pairs, self.texts, mean)

    def grounded(self, coefficients: Tensor) -> Tensor | None:
        """Grounded scores [B,Q] of every concept; None without a lens."""
        if (lens := self.lens) is None:
            return None
        return grounded.scores(coefficients, lens.grounded, lens.mean, lens.deviation)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B,3,S,S] → coefficients [B,H,C] and embedding [B,D], both fp32.

        Raises UsageError on the first batch if the pairs do not add up to `encode_image`, or if
        no image of it has a finite embedding.
        """
        features = self.trunk(pixels).float()
        coefficients = attention_pool.coefficients(self.pool, features)
        embedding = self.geometry.directions.total(coefficients)
        if not self.checked:
            self._self_check(pixels, embedding)
        return coefficients, embedding

    def _self_check(self, pixels: Tensor, embedding: Tensor) -> None:
        """Refuse to go on if the decomposition does not add up to the model's own embedding."""
        expected = self.loaded.model.encode_image(pixels[:CHECKED])
        embedding = embedding[:CHECKED]
        finite = expected.isfinite().all(1) & embedding.isfinite().all(1)
        if not bool(finite.any()):
            raise UsageError(
                f"the model's output is not finite for any of the first {len(expected)} images; "
                "half precision may overflow: use --dtype float32, or check the weights"
            )
        found, expected = embedding[finite].double(), expected[finite].double()
        error = float((found - expected).norm() / expected.norm())
        limit = TOLERANCE[self.dtype]
        if not error <= limit:
            raise UsageError(
                f"self-check failed: the pairs add up to the embedding only within {error:.1e} "
                f"(limit {limit:.0e} for {self.dtype}); use --dtype float32"
            )
        self.checked = True
