"""Extraction through a lens: grounded and centred scores are the literal ones; what clashes ends.

Every run here is of the tiny model with random weights, on the scenes of `tests/conftest.py`.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from nhd_ops import attention_pool, concepts
from nhd_ops.grounded import Grounded, scores
from pipelines.analyse.fit import FitPlan, fit
from pipelines.errors import UsageError
from pipelines.extract.job import extract
from pipelines.io.files import write_json
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.lens.lens import Lens, read_lens, write_lens
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model, text_embeddings
from pipelines.run.resources import Resources
from pipelines.run.status import status
from tests.conftest import CONCEPTS, plan
from tests.jobs.test_cli import nhd
from tests.lens.test_lens import EMPTY
from tests.pipelines.test_extraction import same_moments

FP16 = 2.0**-11
"""Half a unit in the last place, relative."""


def lens_of(run: str, url: str, seed: int = 0) -> str:
    """A lens with the means of a run, and with pairs and weights drawn at random."""
    info, pairs = Run(run).info, Run(run).moments().pairs
    g = torch.Generator().manual_seed(seed)
    chosen, grounded = torch.randint(pairs.mean.numel(), (2, len(info["concepts"]), 4), generator=g)
    weights = torch.rand(grounded.shape, generator=g)
    mean, deviation = pairs.mean.float(), pairs.variance().sqrt().float()
    named = ("model", "pretrained", "weights_sha256", "preprocess_id", "concepts")
    lens = Lens(
        {name: info[name] for name in named},
        mean,
        deviation,
        torch.ones_like(mean),
        chosen,
        Grounded(grounded, weights),
    )
    write_lens(url, lens, EMPTY, EMPTY)
    return url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lens")


@pytest.fixture(scope="module")
def lens(folder: Path, dense_run: str) -> str:
    return lens_of(dense_run, f"{folder}/lens")


def through(lens: str, data: str, out: Path | str, **changes: object) -> str:
    """Extract through a lens; return the run."""
    extract(plan(data, out, concepts=(), lens=lens, **changes))
    return str(out)


@pytest.fixture(scope="module")
def run(folder: Path, scenes: str, lens: str) -> str:
    return through(lens, scenes, folder / "run", keep="dense", bucket="source")


def columns(run: str, measure: str) -> torch.Tensor:
    """[N,Q] of one measure."""
    rows = Run(run).images([f"{measure}_{slug}" for slug in CONCEPTS])
    return torch.stack([torch.from_numpy(c.to_numpy().copy()) for c in rows.columns], 1)


def literal(run: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coefficients [N,H,C], their largest rounding errors, and embeddings, from stored rows."""
    rows = Run(run).images()
    heads = [np.stack(rows[f"head_{h:03d}"].to_pandas()) for h in range(8)]
    stored = torch.from_numpy(np.stack(heads, 1)).double()
    norms = _pool_directions().norms().double()
    embedding = torch.from_numpy(np.stack(rows["embedding"].to_pandas()))
    return stored / norms, (stored.abs() * FP16 + 2.0**-25) / norms, embedding.double()


def _pool_directions() -> object:
    pool = attention_pool.attention_pool_of(load_model("tiny", "none").model.visual)
    return attention_pool.directions_of(pool)


def test_grounded_columns_are_the_scores_of_the_stored_coefficients(run: str, lens: str) -> None:
    made = read_lens(lens)
    coefficients, error, _ = literal(run)
    expected = scores(coefficients, made.grounded, made.mean, made.deviation)
    zero = torch.zeros_like(made.mean)
    room = scores(error, made.grounded, zero, made.deviation) + 1e-4 * expected.abs() + 1e-5
    found = columns(run, "grounded")
    assert found.shape == (90, 3) and found.std(0).min() > 0.1
    assert ((found - expected).abs() <= room).all()
    assert float(found.mean(0).abs().max()) < 1e-4  # the lens's mean is that of these images


def test_score_is_centred_and_its_pairs_are_the_lens_s(run: str, lens: str) -> None:
    made = read_lens(lens)
    assert Run(run).info["concept_pairs"] == made.pairs.tolist()
    coefficients, _, embedding = literal(run)
    directions, texts = _pool_directions(), text_embeddings(load_model("tiny", "none"), CONCEPTS)
    pairs = concepts.pairs_for(directions, directions.project(texts), made.pairs)
    for column, mean in (("score", made.mean), ("share", None)):
        measures = concepts.measures(coefficients.float(), embedding.float(), pairs, texts, mean)
        torch.testing.assert_close(
            columns(run, column), getattr(measures, column), rtol=5e-3, atol=2e-5
        )


def test_what_has_nothing_to_do_with_the_lens_is_as_without_it(run: str, dense_run: str) -> None:
    one, other = Run(run), Run(dense_run)
    for name in ("similarity_yellow", "norm_total", "key"):
        assert one.images([name]).equals(other.images([name]))
    same_moments(one.moments(), other.moments(), 0)
    names = one.images().column_names
    for slug in CONCEPTS:
        assert names.index(f"grounded_{slug}") == names.index(f"similarity_{slug}") + 1
    assert [n for n in names if "grounded" not in n] == other.images().column_names


def test_any_batch_size_gives_the_same_scores(
    run: str, scenes: str, lens: str, tmp_path: Path
) -> None:
    small = through(lens, scenes, tmp_path / "small", batch_size=7)
    for measure in ("grounded", "score", "share"):
        torch.testing.assert_close(
            columns(small, measure), columns(run, measure), rtol=1e-3, atol=1e-4
        )


def test_twice_the_same_run_is_the_same_to_the_byte(
    run: str, scenes: str, lens: str, folder: Path
) -> None:
    again = through(lens, scenes, folder / "again", keep="dense", bucket="source")
    for path in Path(run, "images").iterdir():
        assert path.read_bytes() == Path(again, "images", path.name).read_bytes()
    before = {p: p.stat().st_mtime_ns for p in Path(again).rglob("*.parquet")}
    through(lens, scenes, again, keep="dense", bucket="source")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_run_json_names_the_lens(run: str, dense_run: str, lens: str) -> None:
    info = Run(run).info
    assert (info["lens"], info["lens_url"]) == (read_lens(lens).id, lens)
    assert info["pairs_per_concept"] == 4
    assert Run(dense_run).info["lens"] is None
    footer = pq.read_schema(next(Path(run, "images").iterdir())).metadata
    assert json.loads(footer[b"nhd"])["lens"] == info["lens"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": ModelSpec("tiny")}, "lens is of other weights"),
        ({"preprocess": "exact"}, "lens was calibrated on images of another preprocessing"),
        ({"concepts": ("yellow",)}, "--lens brings its own concepts"),
        ({"pairs_per_concept": 7}, "has 4 pairs per concept, but --pairs-per-concept is 7"),
        ({"columns": ("grounded_car",)}, "name of one of nhd's own columns"),
        ({"lens": "/nowhere"}, "/nowhere is not a lens"),
    ],
)
def test_what_clashes_with_the_lens_is_refused_before_anything_is_written(
    scenes: str, lens: str, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    asked = {"concepts": (), "lens": lens, **changes}
    with pytest.raises(UsageError, match=says):
        extract(plan(scenes, tmp_path / "run", **asked))
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.parquet"))


@pytest.mark.slow
@pytest.mark.cluster
def test_ray_s_workers_score_alike_and_refuse_alike(
    ray: object, run: str, scenes: str, lens: str, tmp_path: Path
) -> None:
    out = through(lens, scenes, tmp_path / "ray", in_process=False, resources=Resources(2))
    torch.testing.assert_close(
        columns(out, "grounded"), columns(run, "grounded"), rtol=1e-3, atol=1e-4
    )
    with pytest.raises(UsageError, match="lens is of other weights"):
        through(lens, scenes, tmp_path / "other", in_process=False, model=ModelSpec("tiny"))
    assert not (tmp_path / "other" / "run.json").exists()


def test_a_folder_keeps_to_its_lens(dense_run: str, scenes: str, lens: str, tmp_path: Path) -> None:
    first, out = expand(scenes)[2], tmp_path / "run"
    through(lens, first, out)
    other = lens_of(dense_run, f"{tmp_path}/lens", seed=1)
    with pytest.raises(UsageError, match=r"made with another configuration: .*lens was "):
        through(other, first, out)
    with pytest.raises(UsageError, match=r"lens was .* and is now None"):
        extract(plan(first, out, pairs_per_concept=4))
    assert columns(str(out), "grounded").shape == (10, 3)


def test_runs_from_before_there_were_lenses_go_on(scenes: str, lens: str, tmp_path: Path) -> None:
    urls, out = expand(scenes), str(tmp_path / "run")
    extract(plan(urls[2], out))
    old = {k: v for k, v in Run(out).info.items() if not k.startswith("lens")}
    write_json(f"{out}/run.json", old)
    assert extract(plan(f"{urls[2]},{urls[1]}", out))["written"] == 50
    write_json(f"{out}/run.json", old)
    with pytest.raises(UsageError, match="lens was None and is now"):
        through(lens, urls[2], out)


def test_fit_and_status_work_on_it(run: str, dense_run: str) -> None:
    for folder in (run, dense_run):
        fit(FitPlan(folder, atoms=0))
    signs = [Run(folder).table("fit/pairs.parquet", ["sign"]) for folder in (run, dense_run)]
    assert signs[0].equals(signs[1])
    assert status(run, check=True)["problems"] == []


def test_the_command_scores_and_refuses(scenes: str, lens: str, tmp_path: Path) -> None:
    command = ["extract", "--data", expand(scenes)[2], "--out", str(tmp_path / "run")]
    command += ["--lens", lens, "--in-process"]
    refused = nhd(*command)
    assert refused.returncode == 2 and "lens is of other weights" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    done = nhd(*command, "--pretrained", "none")
    assert done.returncode == 0, done.stderr
    assert columns(str(tmp_path / "run"), "grounded").shape == (10, 3)
