"""How well a concept's measures follow the label of the same name."""

from typing import Any

import numpy as np
import pandas as pd

from pipelines.analyse.truth import correlation
from pipelines.io.rows import measures
from pipelines.io.store import Run


def label_table(run: Run, info: dict[str, Any]) -> pd.DataFrame:
    """One row per concept with a label of its name: point-biserial r of each measure."""
    named = {c["text"]: c["slug"] for c in info["concepts"]}
    named |= {slug: slug for slug in named.values()}
    both = [(label, named[label]) for label in info["labels"] if label in named]
    if not both:
        return pd.DataFrame()
    known = measures(info.get("lens") is not None)
    columns = [f"{m}_{slug}" for _, slug in both for m in known]
    table = run.images([*dict.fromkeys([*columns, *(label for label, _ in both)])])
    rows = []
    for label, slug in both:
        truth = table[label].to_numpy().astype(np.float64)[:, None]  # [n,1]
        values = np.stack([table[f"{m}_{slug}"].to_numpy() for m in known], axis=1)
        found = correlation(values.astype(np.float64), truth)[:, 0]
        row = {"label": label, "images": int(truth.sum()), "of": len(truth)}
        rows.append(row | {f"r_{m}": r for m, r in zip(known, found.tolist(), strict=True)})
    return pd.DataFrame(rows)
