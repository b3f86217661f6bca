"""Fit: what its tables say is what the stored coefficients, embeddings and directions say."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pointbiserialr

from nhd_ops import attention_pool, components
from nhd_ops.contributions import Directions
from nhd_ops.sparse_code import prepare_dictionary
from pipelines.analyse import fit_tables as tables
from pipelines.analyse.fit import FitPlan, fit
from pipelines.bench import rn50x16
from pipelines.errors import UsageError
from pipelines.io.store import Run
from pipelines.io.words import word_list
from pipelines.models import load_model, text_embeddings


@pytest.fixture(scope="module")
def fitted(dense_run: str) -> Run:
    fit(FitPlan(dense_run, atoms=16, in_process=True))
    return Run(dense_run)


def dense_of(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    rows = run.images().to_pandas()
    heads = [c for c in rows.columns if c.startswith("head_")]
    return rows, np.stack([np.concatenate([r[h] for h in heads]) for _, r in rows.iterrows()])


def test_label_correlations_equal_scipy_on_stored_coefficients(fitted: Run) -> None:
    rows, dense = dense_of(fitted)
    pairs = fitted.table("fit/pairs.parquet").to_pandas()
    strong = pairs.nlargest(200, "importance")["pair"].to_numpy()
    for label in ("yellow", "car"):
        expected = [pointbiserialr(rows[label], dense[:, p].astype(np.float64))[0] for p in strong]
        np.testing.assert_allclose(pairs[f"r_{label}"][strong], expected, atol=5e-3)


def test_exemplars_are_the_images_of_largest_deviation(fitted: Run) -> None:
    rows, dense = dense_of(fitted)
    pairs = fitted.table("fit/pairs.parquet").to_pandas()
    exemplars = fitted.table("fit/exemplars.parquet").to_pandas()
    for pair in pairs.nlargest(30, "importance")["pair"]:
        listed = exemplars[exemplars["pair"] == pair]
        deviation = np.abs(dense[:, pair] - dense[:, pair].mean())
        order = np.argsort(-deviation)
        places = [rows.index[rows["key"] == key][0] for key in listed["key"]]
        np.testing.assert_allclose(deviation[places], deviation[order[:10]], rtol=5e-3, atol=1e-5)
        np.testing.assert_allclose(dense[places, pair], listed["coefficient"], rtol=5e-3, atol=1e-5)


def test_inertia_is_that_of_the_exemplars_embeddings(fitted: Run) -> None:
    rows = fitted.images(["key", "embedding"]).to_pandas().set_index("key")
    exemplars = fitted.table("fit/exemplars.parquet").to_pandas()
    pairs = fitted.table("fit/pairs.parquet").to_pandas().set_index("pair")
    for pair in (0, 77, 4095):
        keys = exemplars[exemplars["pair"] == pair]["key"]
        unit = np.stack(rows.loc[keys, "embedding"])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        expected = 10 * (1 - np.linalg.norm(unit.mean(0)) ** 2)
        assert pairs.loc[pair, "inertia"] == pytest.approx(expected, abs=1e-4)


def test_a_neurons_pairs_are_held_against_the_neuron(fitted: Run) -> None:
    table = fitted.table("fit/polysemanticity.parquet").to_pandas()
    neurons = table[table["unit"] == "neuron"].set_index("neuron")
    pairs = table[table["unit"] == "pair"].set_index("pair")
    assert len(neurons) == 512 and len(pairs) == 4096 and pairs["pairs_below"].isna().all()
    below = pairs["inertia"] < neurons["inertia"].reindex(pairs["neuron"]).to_numpy()
    shares = below.groupby(pairs["neuron"]).mean()[neurons["alive"]]
    assert shares.equals(neurons["pairs_below"][neurons["alive"]].rename("inertia"))


def test_codes_rebuild_the_signed_direction(fitted: Run) -> None:
    loaded = load_model("tiny", pretrained="none")
    words = word_list("scenes")
    atoms = prepare_dictionary(text_embeddings(loaded, words, templates=False))
    directions = attention_pool.directions_of(loaded.model.visual.attnpool)
    pairs = fitted.table("fit/pairs.parquet").to_pandas()
    codes = fitted.table("fit/codes.parquet").to_pandas()
    signs = torch.tensor(pairs["sign"].tolist()).float()
    chosen = torch.tensor([3, 700, 2048])
    vectors = components.pair_components(directions, chosen, signs)
    for pair, vector in zip(chosen.tolist(), vectors, strict=True):
        code = codes[codes["pair"] == pair].sort_values("rank")
        used = atoms[[words.index(w) for w in code["word"]]]
        solved = torch.linalg.lstsq(used.T, vector[:, None]).solution.squeeze(1)
        np.testing.assert_allclose(code["coefficient"], solved.numpy(), atol=1e-4)
        nearest = (atoms @ vector).argsort(descending=True)[:5]
        assert list(pairs["words"][pair]) == [words[i] for i in nearest]


def test_explained_variance_falls_and_sums_to_at_most_one(fitted: Run) -> None:
    for unit, units in (("neuron", 512), ("head", 8)):
        table = fitted.table(f"fit/{unit}s.parquet").to_pandas()
        assert table[unit].nunique() == units
        ratios = table.pivot(index=unit, columns="rank", values="explained_variance_ratio").dropna()
        assert (ratios.diff(axis=1).iloc[:, 1:] <= 1e-9).all(axis=None)
        assert (ratios.sum(axis=1) <= 1 + 1e-9).all()


def test_the_tables_answer_a_question_in_duckdb(fitted: Run) -> None:
    found = duckdb.execute(
        f"SELECT p.pair, p.words[1], e.key FROM '{fitted.url}/fit/pairs.parquet' p "
        f"JOIN '{fitted.url}/fit/exemplars.parquet' e USING (pair) "
        "WHERE e.rank = 0 ORDER BY p.importance DESC LIMIT 5"
    ).fetchall()
    assert len(found) == 5


def test_without_codes_all_else_is_the_same(fitted: Run, tmp_path: Path) -> None:
    shutil.copytree(fitted.url, tmp_path / "run")
    bare = Run(str(tmp_path / "run"))
    fit(FitPlan(bare.url, atoms=0))
    assert not bare.exists("fit", "codes.parquet")
    for name in ("pairs", "neurons", "heads", "exemplars", "polysemanticity"):
        path = f"fit/{name}.parquet"
        assert bare.table(path).equals(fitted.table(path)), name


def test_nearest_words_through_the_factors_are_those_of_the_directions() -> None:
    """Rank by rank the same cosines; words that tie in float32 may change places."""
    generator = torch.Generator().manual_seed(0)
    directions = rn50x16.geometry().directions
    atoms = torch.nn.functional.normalize(
        torch.randn(200, directions.width, generator=generator), dim=1
    )
    directions = Directions(
        directions.value[:3, :, :500], directions.output[:3], directions.value_bias[:3],
        directions.offset,
    )  # fmt: skip
    signs = torch.randn(3, 500, generator=generator).sign()
    vectors = components.pair_components(directions, torch.arange(1500), signs)
    cosines = torch.nn.functional.normalize(vectors.double(), dim=1) @ atoms.double().T
    largest = cosines.topk(tables.WORDS_SHOWN, dim=1).values
    for found in (
        tables.nearest_words_of_pairs(directions, signs, atoms),
        tables.nearest_words(vectors, atoms),
    ):
        assert all(len(set(row)) == tables.WORDS_SHOWN for row in found.tolist())
        torch.testing.assert_close(cosines.gather(1, found), largest, rtol=0, atol=1e-5)


def test_fewer_atoms_than_none_are_refused() -> None:
    with pytest.raises(UsageError, match="must not be negative"):
        FitPlan("run", atoms=-1)


@pytest.mark.slow
@pytest.mark.cluster
def test_ray_tasks_fit_what_one_process_fits(
    ray: object, fitted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fitted.table("fit/codes.parquet").to_pandas()
    monkeypatch.setattr("pipelines.analyse.fit.BLOCK", 2048)
    fit(FitPlan(fitted.url, atoms=16))
    shared = fitted.table("fit/codes.parquet").to_pandas()
    assert (alone["word"] == shared["word"]).mean() > 0.999
    np.testing.assert_allclose(alone["coefficient"].sum(), shared["coefficient"].sum(), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "says"),
    [("/nowhere/words", "cannot be read"), ("common:many", "common:N"), ("one", "fewer than two")],
)
def test_wrong_word_lists_are_refused(name: str, says: str, tmp_path: Path) -> None:
    if name == "one":
        (tmp_path / "one").write_text("word\n")
        name = str(tmp_path / "one")
    with pytest.raises(UsageError, match=says):
        word_list(name)


def test_common_words_come_from_wordfreq() -> None:
    words = word_list("common:3000")
    assert len(words) == 3000 and "yellow" in words
