"""A lens is what one would compute from all images at once, however it was come by."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from jobs.commands.calibrate import Calibrate
from nhd_ops import attention_pool
from nhd_ops.candidates import correlations
from nhd_ops.grounded import scores
from pipelines.analyse.fit import FitPlan, fit
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.job import extract
from pipelines.io.store import Run
from pipelines.lens.calibrate import calibrate
from pipelines.lens.lens import Lens, read_lens
from pipelines.lens.plan import CalibratePlan
from pipelines.lens.summary import summary
from pipelines.models import load_model
from pipelines.run.resources import Resources
from pipelines.tiny.dataset import write_scenes
from tests import lens_reference as reference
from tests.conftest import plan

FOLDS = 3


def made(run: str, out: Path | str, **changes: object) -> Lens:
    given = {"candidates": 12, "folds": FOLDS, "in_process": True, **changes}
    return calibrate(CalibratePlan(run, str(out), **given))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lens(dense_run: str, tmp_path_factory: pytest.TempPathFactory) -> Lens:
    """From stored coefficients."""
    return made(dense_run, tmp_path_factory.mktemp("lenses") / "dense")


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the scenes of `dense_run` from shards of its own, one of which may be damaged."""
    folder = tmp_path_factory.mktemp("sparse")
    write_scenes(f"{folder}/shards", 90, seed=5, per_shard=40)
    extract(plan(f"{folder}/shards/*.tar", folder / "run"))
    return Run(f"{folder}/run")


def alike(a: Lens, b: Lens, s: torch.Tensor, within: float) -> None:
    """The same scores of images; of pairs that repeat each other either may be chosen."""
    torch.testing.assert_close(a.mean, b.mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(a.deviation, b.deviation, atol=1e-5, rtol=1e-4)
    assert torch.equal(a.pairs, b.pairs)
    one, other = (scores(s, lens.grounded, lens.mean, lens.deviation) for lens in (a, b))
    assert float((one - other).square().mean().sqrt()) < within * float(other.std())


def chosen(lens: Lens) -> list[dict[str, float]]:
    return list(lens.info["grounded"]["concepts"])


@pytest.fixture(scope="module", name="dense_run")
def not_fitted(dense_run: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the run that all tests share, since others fit it."""
    out = tmp_path_factory.mktemp("dense") / "run"
    shutil.copytree(dense_run, out, ignore=shutil.ignore_patterns("fit"))
    return str(out)


Images = tuple[torch.Tensor, np.ndarray]


@pytest.fixture(scope="module")
def images(dense_run: str) -> Images:
    """s [B,H,C] as stored, similarities [B,Q]."""
    run = Run(dense_run)
    rows = run.images().to_pandas()
    visual = load_model("tiny", pretrained="none").model.visual
    directions = attention_pool.directions_of(attention_pool.attention_pool_of(visual))
    heads = [np.stack(rows[f"head_{head:03d}"]) for head in range(directions.heads)]
    s = torch.from_numpy(np.stack(heads, 1)) / directions.norms()
    names = [f"similarity_{concept['slug']}" for concept in run.info["concepts"]]
    return s, rows[names].to_numpy(np.float64)


def test_weights_are_those_of_a_regression_on_all_images(lens: Lens, images: Images) -> None:
    s, similarity = images
    flat = s.flatten(1).double().numpy()
    for number, about in enumerate(chosen(lens)):
        r = [reference.correlation(column, similarity[:, number]) for column in flat.T]
        used = lens.grounded.pairs[number][lens.grounded.weights[number] > 0].tolist()
        assert min(r[pair] for pair in used) > 0
        z = (flat[:, used] - flat[:, used].mean(0)) / flat[:, used].std(0)
        target = similarity[:, number] - similarity[:, number].mean()
        expected, _ = nnls(z, target)
        found = lens.grounded.weights[number][: len(used)].numpy()
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=0.02 * expected.max())
        rebuilt = scores(s, lens.grounded, lens.mean, lens.deviation)[:, number].double().numpy()
        np.testing.assert_allclose(rebuilt, z @ expected, atol=0.05 * rebuilt.std())
        assert about["pairs"] == len(used) <= about["k"]


def test_tables_say_what_the_lens_holds(
    dense_run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, r = f"{tmp_path}/lens", correlations(Run(dense_run).moments())
    Calibrate(dense_run, out, candidates=12, folds=FOLDS, in_process=True)()
    assert capsys.readouterr().out.endswith(f"3 concepts calibrated on 90 images: {out}\n")
    lens = read_lens(out)
    rows = Run(out).table("concepts.parquet").to_pandas()
    for number, concept in enumerate(lens.info["concepts"]):
        of = rows[rows["slug"] == concept["slug"]]
        paper, grounded = (of[of["rule"] == rule] for rule in ("paper", "grounded"))
        assert paper["pair"].tolist() == lens.pairs[number].tolist()
        assert paper["weight"].isna().all()
        weights = lens.grounded.weights[number]
        assert grounded["pair"].tolist() == lens.grounded.pairs[number][weights > 0].tolist()
        assert grounded["weight"].is_monotonic_decreasing and (grounded["weight"] > 0).all()
        for row in of.itertuples():
            assert row.pair == row.head * lens.mean.shape[1] + row.neuron
            assert row.r == pytest.approx(float(r[number].flatten()[row.pair]), abs=1e-6)
    pairs = Run(out).table("pairs.parquet").to_pandas()
    np.testing.assert_array_equal(pairs["sign"], lens.signs.flatten())
    np.testing.assert_array_equal(pairs["std"], lens.deviation.flatten())
    assert set(pairs["words"]) == {""}  # the run is not fitted


def test_words_are_those_of_the_fit(sparse: Run, tmp_path: Path) -> None:
    run = Run(f"{tmp_path}/run")
    shutil.copytree(sparse.url, run.url)
    (tmp_path / "words.txt").write_text("red\nblue\ncar\nsky\n")
    fit(FitPlan(run.url, words=f"{tmp_path}/words.txt", atoms=0, in_process=True))
    made(run.url, tmp_path / "lens")
    fitted = run.table("fit/pairs.parquet").to_pandas()
    pairs = Run(f"{tmp_path}/lens").table("pairs.parquet").to_pandas()
    assert pairs["words"].tolist() == [", ".join(words) for words in fitted["words"]]
    np.testing.assert_array_equal(pairs["sign"], fitted["sign"])
    with pytest.raises(UsageError, match="words was"):
        made(sparse.url, tmp_path / "lens")  # the same images, not fitted


def test_batches_and_pixels_change_nothing(
    lens: Lens, sparse: Run, images: Images, tmp_path: Path
) -> None:
    one = made(sparse.url, tmp_path / "one", batch_size=32)
    other = made(sparse.url, tmp_path / "other", batch_size=7)
    alike(one, other, images[0], within=1e-3)
    alike(one, lens, images[0], within=2e-2)  # stored coefficients are rounded to fp16


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.usefixtures("ray")
def test_workers_change_nothing(dense_run: str, lens: Lens, tmp_path: Path) -> None:
    found = made(dense_run, tmp_path / "lens", resources=Resources(2), in_process=False)
    assert found.id == lens.id


def test_the_same_is_kept_and_another_is_refused(dense_run: str, tmp_path: Path) -> None:
    first = made(dense_run, tmp_path / "lens")
    written = (tmp_path / "lens" / "lens.json").stat().st_mtime_ns
    assert made(dense_run, tmp_path / "lens").id == first.id
    assert (tmp_path / "lens" / "lens.json").stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="folds was 3 and is now 4"):
        made(dense_run, tmp_path / "lens", folds=4)
    left = {path.name for path in (tmp_path / "lens").rglob("*") if path.is_file()}
    assert left == {"lens.json", "lens.safetensors", "concepts.parquet", "pairs.parquet"}


def test_what_is_measured_is_kept_when_a_shard_fails(
    sparse: Run, lens: Lens, images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = Path(sparse.records()[1]["url"])
    whole = url.read_bytes()
    url.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(Incomplete, match="1 of 3 groups of shards failed"):
            made(sparse.url, tmp_path / "lens")
        assert len(list((tmp_path / "lens" / "work").iterdir())) == 2
    finally:
        url.write_bytes(whole)
    capsys.readouterr()
    alike(made(sparse.url, tmp_path / "lens"), lens, images[0], within=2e-2)
    assert "2 of 3 groups of shards already measured" in capsys.readouterr().out


def test_an_unfinished_lens_of_other_inputs_is_begun_anew(
    sparse: Run, dense_run: str, lens: Lens, tmp_path: Path
) -> None:
    url = Path(sparse.records()[2]["url"])
    whole = url.read_bytes()
    url.unlink()
    try:
        with pytest.raises(UsageError, match="1 shards that the run was made from are gone"):
            made(sparse.url, tmp_path / "lens")
    finally:
        url.write_bytes(whole)
    assert made(dense_run, tmp_path / "lens").id == lens.id


@pytest.mark.parametrize("change", ["other images", "fewer", "more"])
def test_images_that_are_not_the_runs_are_refused(sparse: Run, tmp_path: Path, change: str) -> None:
    url = Path(sparse.records()[0]["url"])
    whole = url.read_bytes()
    count, seed = {"other images": (40, 6), "fewer": (30, 5), "more": (41, 5)}[change]
    (made_anew,) = write_scenes(f"{tmp_path}/anew", count, seed=seed, per_shard=count)
    shutil.copyfile(made_anew, url)
    try:
        with pytest.raises(UsageError, match="no longer those that the run was made from"):
            made(sparse.url, tmp_path / "lens")
    finally:
        url.write_bytes(whole)


def test_runs_that_cannot_be_calibrated_are_refused(
    scenes: str, dense_run: str, tmp_path: Path
) -> None:
    extract(plan(scenes, tmp_path / "bare", concepts=()))
    with pytest.raises(UsageError, match="no concepts"):
        made(f"{tmp_path}/bare", tmp_path / "lens")
    with pytest.raises(UsageError, match="90 images, too few"):
        made(dense_run, tmp_path / "lens", folds=50)
    for candidates in (0, 100_000):  # the square of it is held for each concept
        with pytest.raises(UsageError, match="must lie between 1 and 200"):
            made(dense_run, tmp_path / "lens", candidates=candidates)
    with pytest.raises(UsageError, match="is a run folder"):
        made(dense_run, dense_run)
    assert not (tmp_path / "lens").exists()


def test_the_summary_names_what_the_lens_cannot_see(dense_run: str, tmp_path: Path) -> None:
    made(dense_run, tmp_path / "lens")
    path = tmp_path / "lens" / "lens.json"
    info = json.loads(path.read_text())
    info["grounded"]["concepts"][1]["held_out_r"] = 0.2
    path.write_text(json.dumps(info))
    lines = list(summary(f"{tmp_path}/lens"))
    slug = info["grounded"]["concepts"][1]["slug"]
    assert lines[-1].startswith("WARNING") and lines[-1].endswith(slug)
    assert lines[3].startswith(slug)
