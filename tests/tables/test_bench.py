"""`nhd bench query` on few images: both ways agree, and the compacted run is whole."""

from pathlib import Path

import pytest

from pipelines.bench.query import asking
from pipelines.tables.database import connect


@pytest.mark.slow
def test_both_ways_of_asking_agree(tmp_path: Path) -> None:
    rows = asking(str(tmp_path), seed=3, images=600)
    assert all(row.ours > 0 for row in rows)
    counted = "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM firings)"
    assert connect(f"{tmp_path}/run").execute(counted).fetchone() == (600, 600 * 256)
