"""Files of a run: read by everyone with no special code, and never seen half-written."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.errors import UsageError
from pipelines.io.store import Run


def test_pandas_duckdb_and_polars_read_the_same(dense_run: str) -> None:
    pattern = f"{dense_run}/images/*.parquet"
    files = sorted(Path(dense_run, "images").iterdir())
    ours = Run(dense_run).images(["key", "pairs", "coefficients", "score_yellow"]).to_pandas()
    other = pd.concat([pd.read_parquet(f) for f in files])
    third = polars.read_parquet(pattern).to_pandas()
    query = f"SELECT key, pairs, coefficients, score_yellow FROM '{pattern}' ORDER BY key"
    fourth = duckdb.execute(query).df()
    ours = ours.sort_values("key").reset_index(drop=True)
    for unsorted in (other, third, fourth):
        frame = unsorted.sort_values("key").reset_index(drop=True)
        assert frame["key"].tolist() == ours["key"].tolist()
        np.testing.assert_array_equal(frame["score_yellow"], ours["score_yellow"])
        for name in ("pairs", "coefficients"):
            np.testing.assert_array_equal(np.stack(frame[name]), np.stack(ours[name]))


def test_every_file_says_where_it_comes_from(dense_run: str) -> None:
    info = Run(dense_run).info
    for own in ("run_id", "begun"):  # files of the same shards are the same in every run
        assert info.pop(own)
    for path in Path(dense_run, "images").iterdir():
        stored = json.loads(pq.read_schema(path).metadata[b"nhd"])
        assert stored == info
        assert len(stored["weights_sha256"]) == 64


def test_uncommitted_files_are_never_read(dense_run: str, tmp_path: Path) -> None:
    import shutil

    out = tmp_path / "run"
    shutil.copytree(dense_run, out)
    lost = sorted((out / "shards").iterdir())[0]
    lost.unlink()
    assert Run(str(out)).images(["key"]).num_rows < 90
    with pytest.raises(UsageError, match="moments"):
        (out / "moments" / sorted(p.name for p in (out / "moments").iterdir())[1]).write_bytes(
            sorted((out / "moments").iterdir())[0].read_bytes()
        )
        Run(str(out)).moments()


def test_moments_without_units_are_the_rest_of_them(dense_run: str) -> None:
    whole, part = Run(dense_run).moments(), Run(dense_run).moments(units=False)
    assert len(Run(dense_run).names("moments")) > 1 and part.count == whole.count
    for name in ("pairs", "concepts", "labels"):
        for field, tensor in vars(getattr(whole, name)).items():
            assert torch.equal(
                torch.as_tensor(getattr(getattr(part, name), field)), torch.as_tensor(tensor)
            )
    assert part.buckets.keys() == whole.buckets.keys()
    assert part.largest.numel() == part.neurons.mean.numel() == 0


def test_what_is_not_a_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no run\.json"):
        _ = Run(str(tmp_path)).info
    with pytest.raises(UsageError, match="no finished shard"):
        Run(str(tmp_path)).records()


def test_more_images_than_moments_can_count_are_refused(
    dense_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.io.moments.MOST_IMAGES", 90)
    assert Run(dense_run).moments().count == 90
    monkeypatch.setattr("pipelines.io.moments.MOST_IMAGES", 89)
    with pytest.raises(UsageError, match="holds 90 images, but moments count at most 89"):
        Run(dense_run).moments()
