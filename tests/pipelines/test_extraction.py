"""Extraction: rows plus rejects are the input, moments are those of the rows, work resumes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from nhd_ops import attention_pool, extremes
from nhd_ops.moments import Moments, to_tensors
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.images import decode
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.models import load_model
from pipelines.run.resources import Resources
from pipelines.tiny.dataset import write_scenes
from tests.conftest import groups_of_at_most, plan


def frame(run: str) -> pd.DataFrame:
    return Run(run).images().to_pandas()


def same_moments(a: Moments, b: Moments, tolerance: float = 1e-6) -> None:
    """Equal up to rounding; lists of extremes by value, since near-ties may swap their images."""
    left, right = to_tensors(a), to_tensors(b)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        one, other = tensor, right[name]
        if name.endswith("/vectors"):
            continue
        if name.endswith("/keys") or name in ("largest", "smallest"):
            one, other = (extremes.unpack(keys)[0].nan_to_num() for keys in (one, other))
        if name.endswith("histogram"):
            assert torch.equal(one.sum(-1), other.sum(-1)), name
            assert (one != other).float().mean() < 1e-3, name
            continue
        scale = one.double().abs().max() + 1e-12
        assert (one.double() - other.double()).abs().max() <= tolerance * scale, name


def same_rows(a: str, b: str) -> None:
    one, other = (frame(run).sort_values("key").reset_index(drop=True) for run in (a, b))
    assert one["key"].tolist() == other["key"].tolist()
    embeddings = [np.stack(f["embedding"]) for f in (one, other)]
    np.testing.assert_allclose(embeddings[0], embeddings[1], rtol=1e-4, atol=1e-5)
    for column in ("norm_total", "score_yellow", "share_car", "similarity_brick"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-3, atol=1e-5)


def test_rows_hold_the_models_own_embedding_and_every_column(dense_run: str) -> None:
    rows = frame(dense_run)
    assert len(rows) == 90 and rows["key"].is_unique
    loaded = load_model("tiny", pretrained="none")
    url = Run(dense_run).shard_urls[rows["shard"][0]]
    decoded = [decode(s, loaded.pixels) for s in shards.samples(url)]  # type: ignore[arg-type]
    pixels = torch.stack([d.pixels for d in decoded[:8]])  # type: ignore[union-attr]
    expected = loaded.model.encode_image(loaded.pixels.normalise(pixels)).numpy()
    np.testing.assert_allclose(np.stack(rows["embedding"][:8]), expected, rtol=1e-3, atol=1e-5)
    meta = [json.loads(text) for text in rows["meta"]]
    for name in ("year", "source", "yellow", "car"):
        assert rows[name].tolist() == [fields[name] for fields in meta]


def test_kept_pairs_are_the_largest_and_agree_with_the_dense_columns(dense_run: str) -> None:
    rows = frame(dense_run)
    heads = [c for c in rows.columns if c.startswith("head_")]
    dense = np.stack([np.concatenate([row[h] for h in heads]) for _, row in rows.iterrows()])
    for i, row in rows.iterrows():
        kept = np.abs(row["coefficients"])
        assert np.all(kept[:-1] >= kept[1:] - 1e-6)
        np.testing.assert_array_equal(dense[i][row["pairs"]], row["coefficients"])
        assert kept.min() >= np.delete(np.abs(dense[i]), row["pairs"]).max() - 1e-6
    np.testing.assert_allclose(np.abs(dense).sum(1), rows["norm_total"], rtol=2e-3)
    assert (rows["norm_kept"] <= rows["norm_total"] + 1e-4).all()


def test_moments_are_those_of_the_rows(dense_run: str) -> None:
    run, rows = Run(dense_run), frame(dense_run)
    moments = run.moments()
    heads = [c for c in rows.columns if c.startswith("head_")]
    dense = np.stack([np.stack(rows[h]) for h in heads], axis=1).astype(np.float64)  # [N,H,C]
    pool = load_model("tiny", pretrained="none").model.visual.attnpool
    norms = attention_pool.directions_of(pool).norms().numpy()
    mean, variance = moments.pairs.mean.numpy(), moments.pairs.variance().numpy()
    np.testing.assert_allclose(mean * norms, dense.mean(0), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(variance * norms**2, dense.var(0), rtol=2e-2, atol=1e-9)
    similarity = rows["similarity_yellow"].to_numpy(np.float64)
    np.testing.assert_allclose(moments.concepts.mean[0], similarity.mean(), atol=1e-6)
    assert moments.labels.count1.tolist() == [rows["yellow"].sum(), rows["car"].sum()]
    assert set(moments.buckets) == set(rows["source"])
    counts = rows["source"].value_counts()
    assert all(moments.buckets[name].count == counts[name] for name in counts.index)


def test_any_batch_size_and_sharding_gives_the_same(
    dense_run: str, scenes: str, tmp_path: Path
) -> None:
    extract(plan(scenes, tmp_path / "small", batch_size=7, bucket="source"))
    write_scenes(str(tmp_path / "other"), 90, seed=5, per_shard=90)
    extract(plan(f"{tmp_path}/other/*.tar", tmp_path / "one", batch_size=64, bucket="source"))
    for run in ("small", "one"):
        same_rows(dense_run, str(tmp_path / run))
        same_moments(Run(dense_run).moments(), Run(str(tmp_path / run)).moments(), 1e-5)


@pytest.mark.slow  # test_faults shows the same, with workers killed
@pytest.mark.cluster
def test_ray_actors_give_what_one_process_gives(
    ray: object, dense_run: str, scenes: str, tmp_path: Path
) -> None:
    out = tmp_path / "ray"
    extract(plan(scenes, out, in_process=False, resources=Resources(2), bucket="source"))
    same_rows(dense_run, str(out))
    same_moments(Run(dense_run).moments(), Run(str(out)).moments(), 1e-5)


def test_running_again_does_nothing_and_new_shards_extend(scenes: str, tmp_path: Path) -> None:
    urls, out = expand(scenes), str(tmp_path / "run")
    extract(plan(urls[0], out))
    before = {p: p.stat().st_mtime_ns for p in Path(out).rglob("*.parquet")}
    extract(plan(urls[0], out))
    totals = extract(plan(",".join(urls), out))
    assert totals == {"read": 90, "written": 90, "rejected": 0}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(
    dense_run: str, scenes: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "jobs.cli", "extract", "--data", scenes, "--out", str(out)]
    command += ["--pretrained", "none", "--concepts", "yellow,car,brick", "--labels", "yellow,car"]
    command += ["--columns", "year,source", "--buckets", "source", "--in-process"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if list(out.glob("images/*.parquet")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    extract(plan(scenes, out, bucket="source"))  # takes over the dead process's lock
    same_rows(dense_run, str(out))
    same_moments(Run(dense_run).moments(), Run(str(out)).moments(), 1e-5)


def messy(path: Path) -> str:
    """A shard with three good samples and one of every kind of bad one."""
    members: list[tuple[str, bytes]] = []
    good = list(shards.samples(write_scenes(str(path.parent / "good"), 3, seed=1)[0]))
    for s in good:
        assert isinstance(s, shards.Sample) and s.meta is not None
        members += [(f"{s.key}.jpg", s.image), (f"{s.key}.json", s.meta.encode())]
    image = good[0].image  # type: ignore[union-attr]
    label = b'{"yellow": 1, "car": 0, "year": 2020, "source": "web"}'
    members += [("empty.jpg", b""), ("empty.json", label)]
    members += [("corrupt.jpg", image[:200]), ("corrupt.json", label)]
    members += [("no_label.jpg", image), ("no_label.json", b'{"car": true}')]
    members += [("odd_label.jpg", image), ("odd_label.json", b'{"car": 2, "yellow": 0}')]
    members += [("no_image.txt", b"hello")]
    members += [("odd_year.jpg", image), ("odd_year.json", label.replace(b"2020", b'"then"'))]
    shards.write(str(path), members)
    return str(path)


def test_rows_plus_rejects_are_the_input(tmp_path: Path, scenes: str) -> None:
    url, out = messy(tmp_path / "messy.tar"), str(tmp_path / "run")
    totals = extract(plan(f"{expand(scenes)[2]},{url}", out))
    assert totals == {"read": 19, "written": 14, "rejected": 5}
    rejects = Run(out).rejects().to_pandas().set_index("key")
    assert rejects["reason"].to_dict() == {
        "empty": "empty_image",
        "corrupt": "undecodable_image",
        "no_label": "missing_label",
        "odd_label": "label_not_boolean",
        "no_image": "no_image",
    }
    (record,) = (r for r in Run(out).records() if r["url"] == url)
    assert record["reasons"]["missing_label"] == 1
    rows = frame(out).set_index("key")
    assert pd.isna(rows.loc["odd_year", "year"]) and "then" in rows.loc["odd_year", "meta"]
    assert Run(out).moments().count == 14


def test_a_shard_of_rejects_only_is_done_too(tmp_path: Path, scenes: str) -> None:
    bad = str(tmp_path / "bad.tar")
    shards.write(bad, [("a.jpg", b""), ("a.json", b'{"yellow": 0, "car": 0}')])
    first = expand(scenes)[0]
    totals = extract(plan(f"{first},{bad}", tmp_path / "run"))
    assert totals == {"read": 41, "written": 40, "rejected": 1}
    assert Run(str(tmp_path / "run")).moments().count == 40


def test_a_cut_shard_fails_alone_and_is_done_when_mended(tmp_path: Path, scenes: str) -> None:
    urls, cut = expand(scenes), tmp_path / "cut.tar"
    whole = Path(urls[1]).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    asked = plan(f"{urls[0]},{cut}", tmp_path / "run")
    with pytest.raises(Incomplete, match=r"1 of 2 shards failed.*run the same command again"):
        extract(asked)
    assert len(frame(asked.out)) == 40
    assert len(list(Path(asked.out, "failed").iterdir())) == 1
    cut.write_bytes(whole)
    assert extract(asked)["written"] == 80
    assert not list(Path(asked.out, "failed").iterdir())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": ("nope",)}, "no sample has a field 'nope'.*yellow"),
        ({"columns": ("width",)}, "name of one of nhd's own columns"),
        ({"concepts": ("yellow", "Yellow")}, "would share the column"),
        ({"concepts": ("zebra",)}, "does not know the word 'zebra'"),
    ],
)
def test_wrong_configuration_is_refused_before_anything_is_written(
    scenes: str, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        extract(plan(scenes, tmp_path / "run", **changes))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_of_another_configuration_is_refused(scenes: str, tmp_path: Path) -> None:
    first = expand(scenes)[2]
    extract(plan(first, tmp_path / "run"))
    with pytest.raises(UsageError, match="top_pairs was 256 and is now 8"):
        extract(plan(first, tmp_path / "run", top_pairs=8))


def test_memory_url_as_output(scenes: str) -> None:
    out = "memory://runs/first"
    extract(plan(expand(scenes)[2], out))
    assert Run(out).images(["key"]).num_rows == 10
    assert Run(out).moments().count == 10


def test_bfloat16_stays_near_float32(dense_run: str, scenes: str, tmp_path: Path) -> None:
    extract(plan(scenes, tmp_path / "run", dtype="bfloat16"))
    one, other = (np.stack(frame(r)["embedding"]) for r in (dense_run, str(tmp_path / "run")))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.99


def test_groups_of_several_shards_commit_together(
    dense_run: str, scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.extract.work.Groups", groups_of_at_most(3))
    extract(plan(scenes, tmp_path / "run", bucket="source"))
    assert len(Run(str(tmp_path / "run")).names("moments", ".safetensors")) == 1
    same_moments(Run(dense_run).moments(), Run(str(tmp_path / "run")).moments(), 1e-5)


def test_png_and_grey_images_are_images_too(tmp_path: Path) -> None:
    members = []
    for mode, kind in (("L", "png"), ("P", "png"), ("RGB", "bmp")):
        path = tmp_path / f"{mode}.{kind}"
        Image.effect_noise((64, 48), 80).convert(mode).save(path)
        members += [(path.name, path.read_bytes())]
    shards.write(str(tmp_path / "a.tar"), members)
    totals = extract(plan(f"{tmp_path}/a.tar", tmp_path / "run", labels=(), columns=()))
    assert totals["written"] == 3
    assert frame(str(tmp_path / "run"))[["width", "height"]].drop_duplicates().values.tolist() == [
        [64, 48]
    ]


def test_open_clip_is_the_real_one(dense_run: str) -> None:
    info = Run(dense_run).info
    assert info["units"] == {"heads": 8, "neurons": 512, "pairs": 4096, "width": 128}
    assert isinstance(load_model("tiny", pretrained="none").model, open_clip.CLIP)
    assert pa.types.is_list(Run(dense_run).images(["pairs"]).schema.field("pairs").type)


@pytest.mark.parametrize("field", ["key", "width", "score_yellow"])
def test_no_field_takes_the_name_of_our_own_columns(
    scenes: str, tmp_path: Path, field: str
) -> None:
    for asked in ({"columns": (field,)}, {"bucket": field}):
        with pytest.raises(UsageError, match="has the name of one of nhd's own columns"):
            extract(plan(scenes, tmp_path / "run", **asked))


def test_the_output_is_the_same_place_for_workers_elsewhere(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extract(plan(expand(scenes)[2], "run"))
    assert Run(str(tmp_path / "run")).images(["key"]).num_rows == 10
