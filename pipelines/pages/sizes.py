"""How large the source images of a side are, for the page's part on data health."""

from typing import Any

import numpy as np

from pipelines.analyse.sides import Side


def sizes_of(side: Side) -> dict[str, Any]:
    """Median width and height in pixels, the middle 90 % of the longer edge, the commonest size."""
    width, height = (side.rows[name].to_numpy(np.int64) for name in ("width", "height"))
    longer = np.maximum(width, height)
    pairs, counts = np.unique(np.stack([width, height]), axis=1, return_counts=True)
    most = int(counts.argmax())
    return {
        "median": [float(np.median(width)), float(np.median(height))],
        "longer": np.quantile(longer, [0.05, 0.95]).tolist(),
        "commonest": pairs[:, most].tolist(),
        "commonest_share": float(counts[most] / len(side.rows)),
        "landscape": float((width > height).mean()),
        "portrait": float((width < height).mean()),
    }
