"""The repair of the attention sink: the bottom-right token, overwritten by its neighbours.

Source: arXiv 2509.19943; nhd_ops/README.md, section 7. One token of the grid, the last, collects
attention and activation that say nothing about its place.
"""

from __future__ import annotations

from torch import Tensor


def repair(grid: Tensor) -> Tensor:
    """Put the mean of the west, north and north-west neighbours in the bottom-right place.

    Args:
        grid: [...,rows,columns,E], a vector for every token; not changed.
    Returns:
        The same shape; the grid itself if it has one row or one column only.
    """
    if min(grid.shape[-3:-1]) < 2:
        return grid
    repaired = grid.clone()
    west, north, corner = grid[..., -1, -2, :], grid[..., -2, -1, :], grid[..., -2, -2, :]
    repaired[..., -1, -1, :] = (west + north + corner) / 3
    return repaired
