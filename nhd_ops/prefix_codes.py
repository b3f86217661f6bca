"""What the first m atoms of a sparse code rebuild of a direction, for many m from one code.

Orthogonal matching pursuit chooses its atoms one after the other, so the code of m atoms consists
of the first m of a longer one, fitted anew: its reconstruction is the orthogonal projection on
their span. One QR factorisation of the longest code's atoms gives those of all its beginnings
(nhd_ops/README.md, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SIGNALS_AT_ONCE = 512


def prefix_projections(
    signals: Tensor, dictionary: Tensor, indices: Tensor, sizes: Sequence[int]
) -> Tensor:
    """Each signal projected on the first `sizes[i]` atoms of its code.

    For a unit direction û and d, the normalised projection, ⟨u, d⟩ d is the projection of u. So
    rank-1 reconstruction of a pair from its words needs nothing else.

    Args:
        signals: [N,D].
        dictionary: [K,D].
        indices: [N,M] int64, atoms in order of selection, -1 where there are no more; as
            `sparse_code.omp` gives.
        sizes: ascending, at most M.
    Returns:
        [S,N,D].
    Raises:
        ValueError: the sizes do not ascend or are larger than M, or M is larger than D.
    """
    longest = indices.shape[1]
    if list(sizes) != sorted(sizes) or (len(sizes) and sizes[-1] > longest):
        raise ValueError(f"The sizes {list(sizes)} must ascend, up to {longest} atoms at most.")
    if longest > signals.shape[1]:
        raise ValueError(
            f"Codes of {longest} atoms span more than the {signals.shape[1]} dimensions there "
            "are: ask for fewer atoms."
        )
    blocks = zip(
        torch.split(signals, SIGNALS_AT_ONCE), torch.split(indices, SIGNALS_AT_ONCE), strict=True
    )
    return torch.cat([_prefixes(*block, dictionary, sizes) for block in blocks], dim=1)


def _prefixes(signals: Tensor, indices: Tensor, dictionary: Tensor, sizes: Sequence[int]) -> Tensor:
    used = indices >= 0
    atoms = dictionary[indices.clamp_min(0)] * used[..., None]  # [b,M,D]
    q = torch.linalg.qr(atoms.mT).Q  # [b,D,M]
    along = (signals[:, None] @ q).squeeze(1) * used  # [b,M]; q is arbitrary where unused
    starts = [0, *sizes][: len(sizes)]
    added = [
        (q[..., a:b] @ along[:, a:b, None]).squeeze(2) for a, b in zip(starts, sizes, strict=True)
    ]
    return torch.stack(added).cumsum(0)
