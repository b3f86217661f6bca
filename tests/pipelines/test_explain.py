"""Explanations say what the tables say, point at the thing they name, and fail in a sentence."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from nhd_ops import concepts
from nhd_ops.attention_pool import feature_map
from nhd_ops.spatial_maps import spatial_maps
from pipelines.analyse.fit import FitPlan, fit
from pipelines.errors import UsageError
from pipelines.explain.concept import _name
from pipelines.explain.explain import Explained, ExplainPlan, explain
from pipelines.explain.fitted import open_fitted
from pipelines.explain.heat import enlarge, heat_of
from pipelines.explain.search import case_table, search
from pipelines.extract.job import extract
from pipelines.io.preprocess import stacked
from pipelines.io.store import Run
from pipelines.model_spec import ModelSpec
from pipelines.models import text_embeddings
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.drawing import render
from pipelines.tiny.scenes import ATTRIBUTES, PARTS, sample_scene
from tests.conftest import plan
from tests.jobs.test_cli import nhd

NEURON, HEAD = 437, 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fitted run of the trained model on 400 scenes, with every coefficient."""
    folder = tmp_path_factory.mktemp("explain")
    write_scenes(f"{folder}/scenes", 400, seed=21, per_shard=200)
    tiny = {"model": ModelSpec("tiny"), "labels": ATTRIBUTES, "keep": "dense", "batch_size": 32}
    extract(plan(f"{folder}/scenes/*.tar", folder / "run", **tiny))
    fit(FitPlan(f"{folder}/run", atoms=8, in_process=True))
    return Run(f"{folder}/run")


def explained(run: Run, out: Path, **what: Any) -> tuple[dict[str, Any], Explained]:
    """The JSON of one explanation, whose picture must be there."""
    found = explain(ExplainPlan(run.url, str(out), **what))
    (picture,) = found.pictures
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.width > 1500
    return json.loads(Path(picture).with_suffix(".json").read_text()), found


@pytest.fixture(scope="module")
def sheet(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of NEURON."""
    return explained(run, tmp_path_factory.mktemp("sheet"), neuron=NEURON)[0]


def coefficient(run: Run, pair: int) -> pd.Series:
    """The stored s·‖u‖ of a pair, by key."""
    column = f"head_{pair // 512:03d}"
    rows = run.images(["key", column]).to_pandas().set_index("key")
    return rows[column].map(lambda values: values[pair % 512])


def assert_maps_add_up(row: dict[str, Any]) -> None:
    for exemplar in row["exemplars"]:
        total = np.sum(exemplar["map"]) + exemplar["mean_token"]
        assert total == pytest.approx(exemplar["coefficient"], rel=1e-3, abs=1e-5)


def test_a_neurons_sheet_says_what_the_tables_say(run: Run, sheet: dict[str, Any]) -> None:
    neuron, *heads = sheet["rows"]
    assert sum(sheet["shares"]) == pytest.approx(1)
    shown = [row["share"] for row in heads]
    assert shown == sorted(sheet["shares"], reverse=True)[:4]
    pairs = run.table("fit/pairs.parquet").to_pandas()
    exemplars = run.table("fit/exemplars.parquet").to_pandas()
    for row in heads:
        table = pairs.iloc[row["pair"]]
        assert row["neuron"] == NEURON and row["words"] == list(table["words"])
        assert row["importance"] == pytest.approx(table["importance"])
        assert row["inertia"] == pytest.approx(table["inertia"])
        listed = exemplars[exemplars["pair"] == row["pair"]]
        assert [e["key"] for e in row["exemplars"]] == list(listed["key"])
        assert [e["coefficient"] for e in row["exemplars"]] == list(listed["coefficient"])
    neurons = run.table("fit/neurons.parquet").to_pandas()
    first = neurons[(neurons["neuron"] == NEURON) & (neurons["rank"] == 0)].iloc[0]
    assert neuron["words"] == list(first["words"])
    for row in sheet["rows"]:
        assert_maps_add_up(row)
        assert np.shape(row["exemplars"][0]["map"]) == (4, 4)


def test_a_neurons_exemplars_are_the_images_of_largest_norm(
    run: Run, sheet: dict[str, Any]
) -> None:
    fitted = open_fitted(run.url)
    units = fitted.signed(torch.arange(8) * 512 + NEURON)  # sign·u/‖u‖
    signs = fitted.signs[:, NEURON]
    values = np.stack([coefficient(run, head * 512 + NEURON) for head in range(8)], axis=1)
    vectors = (torch.tensor(values) * signs) @ units  # [B,D]
    largest = vectors.norm(dim=1).sort(descending=True).values[:10]
    shown = [e["coefficient"] for e in sheet["rows"][0]["exemplars"]]
    np.testing.assert_allclose(shown, largest.numpy(), rtol=2e-3)


def test_a_pairs_sheet_shows_both_sides_with_code_and_labels(run: Run, tmp_path: Path) -> None:
    found, _ = explained(run, tmp_path, pair=f"{HEAD}, {NEURON}")
    pair = HEAD * 512 + NEURON
    stored = coefficient(run, pair)
    largest, smallest = stored.nlargest(10), stored.nsmallest(10)
    for row, expected in zip(found["rows"], (largest, smallest), strict=True):
        shown = [e["coefficient"] for e in row["exemplars"]]
        np.testing.assert_allclose(shown, expected.to_numpy(), rtol=2e-3, atol=1e-5)
        assert_maps_add_up(row)
    codes = run.table("fit/codes.parquet").to_pandas()
    listed = codes[codes["pair"] == pair].sort_values("rank")
    assert [atom["word"] for atom in found["code"]] == list(listed["word"])
    table = run.table("fit/pairs.parquet").to_pandas().iloc[pair]
    for label, r in found["labels"].items():
        assert r == pytest.approx(table[f"r_{label}"])
    strengths = [abs(r) for r in found["labels"].values()]
    assert strengths == sorted(strengths, reverse=True) and "white" in list(found["labels"])[:3]


def test_a_concepts_sheet_shows_its_pairs_and_best_images(run: Run, tmp_path: Path) -> None:
    found, _ = explained(run, tmp_path, concept="car")
    fitted = open_fitted(run.url)
    text = text_embeddings(fitted.loaded, ["car"])
    expected = concepts.concept_pairs(fitted.directions, text, 5, fitted.signs).pairs[0]
    assert found["pairs"] == expected.tolist() and found["ranked_by"] == "score"
    cosines = fitted.signed(expected) @ text[0]
    shown = [row["alignment"] for row in found["rows"][1:]]
    np.testing.assert_allclose(shown, cosines.numpy(), atol=1e-5)
    scores = run.images(["score_car"])["score_car"].to_pandas().nlargest(10)
    best = [e["coefficient"] for e in found["rows"][0]["exemplars"]]
    np.testing.assert_allclose(best, scores.to_numpy(), rtol=1e-6)


def test_a_concept_the_run_did_not_score_is_ranked_by_similarity(run: Run, tmp_path: Path) -> None:
    found, _ = explained(run, tmp_path, concept="a purple/heart?")
    assert found["ranked_by"] == "similarity" and found["concept"] == "a purple/heart?"
    assert (tmp_path / "concept-a-purple-heart.json").exists()
    rows = run.images(["key", "purple", "heart"]).to_pandas().set_index("key")
    keys = [e["key"] for e in found["rows"][0]["exemplars"][:3]]
    assert rows.loc[keys].any(axis=1).all()


@pytest.fixture(scope="module")
def cars(run: Run) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """New scenes of one car: the concept pairs of "car" [P], their heat [P,B,S,S], the masks."""
    fitted = open_fitted(run.url)
    drawn = [render(sample_scene(77, i, {"car": 1e6}, objects=1)) for i in range(60)]
    pixels = [torch.tensor(np.array(image)).permute(2, 0, 1) for image, _ in drawn]
    masks = np.stack([np.array(mask) == PARTS.index("car") for _, mask in drawn])
    text = text_embeddings(fitted.loaded, ["car"])
    pairs = concepts.concept_pairs(fitted.directions, text, 5, fitted.signs).pairs[0]
    with torch.inference_mode():
        images = fitted.loaded.pixels.normalise(stacked(pixels))
        maps = spatial_maps(fitted.pool, feature_map(fitted.loaded.model.visual, images), pairs)
    heat = [
        [enlarge(heat_of(g, float(t)), 128) for g, t in zip(grids, totals, strict=True)]
        for grids, totals in zip(maps.grid.transpose(0, 1), maps.total().T, strict=True)
    ]
    return pairs, np.array(heat), masks


def own_and_others(values: np.ndarray) -> tuple[float, float]:
    """Means of [B,B] (heat of one scene, mask of another) on the diagonal and beside it."""
    own = np.diagonal(values)
    return float(own.mean()), float((values.sum() - own.sum()) / (values.size - len(own)))


def test_heat_of_car_pairs_lies_on_the_car(cars: tuple[torch.Tensor, np.ndarray, np.ndarray]):
    """The part inside the scene's own mask, against its area and against other scenes' masks."""
    _, heat, masks = cars
    parts = heat / heat.sum((2, 3), keepdims=True).clip(1e-9)
    inside = np.einsum("pbij,cij->bc", parts, masks) / len(heat)
    own, others = own_and_others(inside)
    assert own > 1.7 * masks.mean() and own > 1.3 * others, (own, others, masks.mean())


def test_the_strongest_car_pair_is_hottest_on_the_car(
    run: Run, cars: tuple[torch.Tensor, np.ndarray, np.ndarray]
):
    pairs, heat, masks = cars
    table = run.table("fit/pairs.parquet").to_pandas()
    strongest = int(table["importance"].to_numpy()[pairs].argmax())
    hottest = heat[strongest].reshape(len(masks), -1).argmax(1)
    own, others = own_and_others(masks.reshape(len(masks), -1)[:, hottest].T.astype(float))
    assert own > 0.6 and own > 2.5 * others, (own, others, masks.mean())


def test_enlarging_keeps_each_cell_at_its_place() -> None:
    grid = torch.zeros(4, 4)
    grid[1, 2] = 1
    large = enlarge(grid, 128)
    rows, columns = np.nonzero(large == large.max())
    assert rows.mean() == pytest.approx(1.5 * 32 - 0.5) and columns.mean() == 2.5 * 32 - 0.5
    assert large.sum() == pytest.approx(32 * 32, rel=1e-3)


def test_search_ranks_neurons_and_draws_the_first(run: Run, tmp_path: Path) -> None:
    found = explain(ExplainPlan(run.url, str(tmp_path), search=2))
    table = pd.read_parquet(tmp_path / "cases.parquet")
    assert sorted(table["neuron"]) == list(range(512))
    assert table["score"].is_monotonic_decreasing and table["score"].iloc[0] > 0
    cases = json.loads((tmp_path / "cases.json").read_text())["cases"]
    assert [c["neuron"] for c in cases] == list(table["neuron"][:2])
    for case in cases:
        sheet = json.loads((tmp_path / f"neuron-{case['neuron']}.json").read_text())
        assert [row["head"] for row in sheet["rows"][1:]] == case["heads"]
        assert [row["words"] for row in sheet["rows"][1:]] == case["words"]
        assert [row["share"] for row in sheet["rows"][1:]] == pytest.approx(case["shares"])
        assert all(row["sign"] == 1 for row in sheet["rows"][1:])
        keys = [{e["key"] for e in row["exemplars"]} for row in sheet["rows"][1:]]
        pairs = [(a, b) for i, a in enumerate(keys) for b in keys[i + 1 :]]
        jaccard = np.mean([len(a & b) / len(a | b) for a, b in pairs])
        assert case["exemplar_overlap"] == pytest.approx(jaccard)
    assert len(found.pictures) == 2 and len(found.table) == 3


def test_the_first_cases_split_into_true_attributes_more_often_than_chance(run: Run) -> None:
    """A clean split: two heads whose exemplars share two different attributes, 9 of 10 at least."""
    fitted = open_fitted(run.url)
    table = case_table(fitted, search(fitted)).to_pandas()
    truth = run.images(["key", *ATTRIBUTES]).to_pandas().set_index("key").astype(bool)
    rows = fitted.exemplars.to_pandas().groupby("pair")["key"].apply(list)

    def split(case: Any) -> bool:
        strong = [h for h, share in zip(case["heads"], case["shares"], strict=True) if share > 0.05]
        pure = [truth.loc[rows[h * 512 + case["neuron"]]].mean() >= 0.9 for h in strong]
        named = [frozenset(p.index[p]) for p in pure if p.any()]
        return any(not (a & b) for a in named for b in named)

    clean = np.array([split(case) for _, case in table.iterrows()])
    assert clean[:30].mean() > 2.5 * clean.mean(), (clean[:30].mean(), clean.mean())


def test_without_the_shards_the_numbers_are_written_all_the_same(
    run: Run, sheet: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(run.url, tmp_path / "run")
    for path in (tmp_path / "run" / "shards").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"url": "/gone/scenes.tar"}))
    found, said = explained(Run(f"{tmp_path}/run"), tmp_path, neuron=NEURON)
    assert said.missing == found["images_missing"] == 50
    assert all(e["map"] is None and e["key"] for row in found["rows"] for e in row["exemplars"])
    assert sheet["shares"] == found["shares"] and sheet["images_missing"] == 0


def test_a_run_at_a_url_is_explained_beside_itself(run: Run) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(run.url, "/explained/run", recursive=True)
    url = "memory://explained/run"
    explain(ExplainPlan(url, neuron=3))
    assert Image.open(io.BytesIO(fs.cat("/explained/run/explain/neuron-3.png"))).format == "PNG"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"neuron": 512}, "there is no neuron 512: .* has 0 to 511"),
        ({"neuron": -1}, "there is no neuron -1"),
        ({"pair": "8,0"}, "there is no pair 8,0: .* heads 0 to 7"),
        ({"pair": "five"}, "'five' is no pair: give a head and a neuron"),
        ({"concept": "a zebra"}, "does not know the word 'zebra'"),
        ({"concept": " "}, "the concept is empty"),
        ({"search": 0}, "draws nothing"),
        ({}, "give one of"),
        ({"neuron": 1, "concept": "car"}, "give one of"),
    ],
)
def test_what_does_not_exist_is_refused(what: dict, says: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        explain(ExplainPlan(run.url, str(tmp_path / "out"), **what))
    assert not (tmp_path / "out").exists()


def test_every_text_has_files_of_its_own() -> None:
    """Whatever its length, and even without a word."""
    texts = ["car", "!", "?", "the car " * 40, "the car " * 41]
    names = [_name(text) for text in texts]
    assert len(set(names)) == len(names) and max(map(len, names)) < 100
    assert names[0] == "concept-car"


def test_a_run_that_grew_since_its_fit_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.url, tmp_path / "run")
    next((tmp_path / "run" / "shards").glob("*.json")).unlink()
    with pytest.raises(UsageError, match="fitted on 400 images and now holds 200; run"):
        explain(ExplainPlan(f"{tmp_path}/run", neuron=1))


def test_the_command_line_takes_every_form(run: Run, dense_run: str, tmp_path: Path) -> None:
    out = ("--run", run.url, "--out", str(tmp_path))
    found = nhd("explain", str(NEURON), *out)
    assert found.returncode == 0, found.stderr
    assert f"neuron-{NEURON}.png" in found.stdout
    assert nhd("explain", "--search", "1", *out).stdout.startswith("neuron")
    assert nhd("explain", "--pair", "5", *out).returncode == 2
    assert nhd("explain", "--search", "1", "2", *out).returncode == 2
    shutil.copytree(dense_run, tmp_path / "bare", ignore=shutil.ignore_patterns("fit"))
    bare = nhd("explain", "3", "--run", f"{tmp_path}/bare")
    assert bare.returncode == 2 and "run nhd fit --run" in bare.stderr
