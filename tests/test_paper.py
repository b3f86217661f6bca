"""The paper's procedure the slow way, on the trained tiny model, against what the commands write.

Everything is materialised: images through open_clip's own transform and tower, contributions
[B,H,C,D] in float64, an SVD over the 50 top images of every unit, loops over pairs
(arXiv 2509.19943).
"""

import copy
import io
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nhd_ops import attention_pool, components, fidelity
from nhd_ops.contributions import Contributions, Directions
from nhd_ops.geometry import geometry_of
from nhd_ops.moments import moments_of
from nhd_ops.sparse_code import omp, prepare_dictionary
from pipelines.analyse.fit import FitPlan, fit
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.classes import read_classes
from pipelines.io.store import Run
from pipelines.io.words import word_list
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model, text_embeddings
from pipelines.segment.options import Setting
from pipelines.segment.scorer import Scorer
from pipelines.tiny.dataset import write_scenes
from tests import reference, segment_reference
from tests.conftest import plan

IMAGES, TOP = 72, 50
HEADS, NEURONS = 8, 512


class Literal(NamedTuple):
    """What the slow way finds."""

    r: Tensor
    """[B,H,C,D] float64, without the images' mean."""
    mean: Tensor
    """[H,C,D] float64."""
    embedding: Tensor
    """[B,D] float64, encode_image."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("paper")
    write_scenes(str(folder / "scenes"), IMAGES, seed=31, per_shard=30, objects=1)
    tiny = ModelSpec("tiny")
    data = f"{folder}/scenes/*.tar"
    extract(plan(data, folder / "run", model=tiny, preprocess="exact", labels=()))
    fit(FitPlan(str(folder / "run"), atoms=16, in_process=True))
    return Run(str(folder / "run"))


@pytest.fixture(scope="module")
def tower() -> torch.nn.Module:
    return copy.deepcopy(load_model("tiny").model.visual).double()


@pytest.fixture(scope="module")
def features(run: Run, tower: torch.nn.Module) -> Tensor:
    """Z [B,C,g,g] float64 of the run's images, in the order of its rows."""
    transform = load_model("tiny").preprocess
    urls = run.shard_urls
    files = {
        (shard, s.key): s.image
        for shard, url in urls.items()
        for s in shards.samples(url)
        if isinstance(s, shards.Sample)
    }
    rows = run.images(["shard", "key"]).to_pylist()
    images = [Image.open(io.BytesIO(files[row["shard"], row["key"]])) for row in rows]
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in images]).double()
        return attention_pool.feature_map(tower, pixels)


@pytest.fixture(scope="module")
def literal(features: Tensor, tower: torch.nn.Module) -> Literal:
    with torch.inference_mode():
        r = reference.contributions(tower.attnpool, features)
        mean = r.mean(0)
        return Literal(r - mean, mean, tower.attnpool(features))


@pytest.fixture(scope="module")
def directions(tower: torch.nn.Module) -> Directions:
    return attention_pool.directions_of(tower.attnpool)


@pytest.fixture(scope="module")
def top(literal: Literal) -> Tensor:
    """[H,C,50]: the images of largest centred norm of every pair, largest first."""
    norms = literal.r.norm(dim=-1)  # [B,H,C]
    return norms.permute(1, 2, 0).argsort(dim=-1, descending=True, stable=True)[..., :TOP]


@pytest.fixture(scope="module")
def coefficients(features: Tensor, tower: torch.nn.Module) -> Tensor:
    with torch.inference_mode():
        return attention_pool.coefficients(tower.attnpool, features)


def varying(literal: Literal) -> Tensor:
    """[H,C]: the pairs that vary by more than rounding."""
    return literal.r.norm(dim=-1).amax(0) > 1e-9


def test_the_stored_embeddings_are_the_sum_of_everything(run: Run, literal: Literal) -> None:
    stored = np.stack(run.images(["embedding"]).to_pandas()["embedding"].to_list())
    offset = literal.embedding - (literal.r + literal.mean).sum((1, 2))
    torch.testing.assert_close(offset, offset[:1].expand_as(offset))
    np.testing.assert_allclose(stored, literal.embedding.numpy(), rtol=1e-4, atol=1e-5)


def test_every_pairs_direction_and_sign_are_those_of_its_svd(
    run: Run, literal: Literal, top: Tensor, directions: Directions
) -> None:
    pairs = run.table("fit/pairs.parquet").to_pandas()
    alive = varying(literal)
    assert int(alive.sum()) > 3500
    decided = 0
    unit = directions.vectors(torch.arange(directions.pairs)).view(HEADS, NEURONS, -1)
    unit = torch.nn.functional.normalize(unit, dim=-1)
    for head in range(HEADS):
        for neuron in alive[head].nonzero().flatten().tolist():
            mine = literal.r[top[head, neuron], head, neuron]  # [50,D]
            component = torch.linalg.svd(mine - mine.mean(0), full_matrices=False).Vh[0]
            assert abs(float(component @ unit[head, neuron])) > 1 - 1e-5
            positive = int((mine @ unit[head, neuron] > 0).sum())
            sign = pairs["sign"][head * NEURONS + neuron]
            # Coefficients are kept in float32: one image within rounding of the mean may turn.
            if abs(2 * positive - TOP) > 2:
                decided += 1
                assert sign == (1 if 2 * positive > TOP else -1)
    assert decided > 3000


def test_importance_ranks_pairs_as_materialised_norms_do(
    run: Run, literal: Literal, top: Tensor
) -> None:
    norms = literal.r.norm(dim=-1).permute(1, 2, 0)  # [H,C,B]
    expected = norms.gather(-1, top).mean(-1).flatten().numpy()
    found = run.table("fit/pairs.parquet")["importance"].to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    order, ranked = np.argsort(-found), np.sort(expected)[::-1]
    np.testing.assert_allclose(expected[order], ranked, rtol=1e-4, atol=1e-7)


def test_neuron_components_are_the_svd_of_their_contributions(run: Run, literal: Literal) -> None:
    table = run.table("fit/neurons.parquet").to_pandas()
    table = table[table["rank"] == 0].set_index("neuron")
    per_neuron = literal.r.sum(1)  # [B,C,D]
    strongest = per_neuron.norm(dim=-1).mean(0).argsort(descending=True)[:200]
    compared = 0
    for neuron in strongest.tolist():
        found, ratios = reference.pca(per_neuron[:, neuron], 2)
        if ratios[1] > 0.9 * ratios[0]:
            continue  # nearly a tie: any direction between the two will do
        compared += 1
        direction = torch.tensor(table["direction"][neuron]).double()
        assert abs(float(found[0] @ direction)) > 1 - 1e-5
        ratio = table["explained_variance_ratio"][neuron]
        assert abs(float(ratios[0]) - ratio) < 1e-4
    assert compared > 150


def test_components_of_the_top_50_images_are_their_svd(
    literal: Literal, coefficients: Tensor, directions: Directions
) -> None:
    moments = moments_of(coefficients, geometry_of(directions), torch.arange(IMAGES))
    _, covariance = components.fitted_moments(moments.neurons, "top50")
    gram = directions.neuron_gram()
    weights = components.neuron_components(covariance, gram, 1).weights
    found = components.neuron_directions(directions, torch.arange(NEURONS), weights)[:, 0]
    contributions = (literal.r + literal.mean).sum(1)  # [B,C,D]
    norms = contributions.norm(dim=-1)
    compared = 0
    for neuron in norms.mean(0).argsort(descending=True)[:100].tolist():
        images = norms[:, neuron].argsort(descending=True)[:TOP]
        expected, ratios = reference.pca(contributions[images, neuron], 2)
        if ratios[1] < 0.9 * ratios[0]:
            compared += 1
            assert abs(float(expected[0] @ found[neuron])) > 1 - 1e-5
    assert compared > 75


def test_inertia_is_that_of_the_materialised_exemplars(
    run: Run, literal: Literal, top: Tensor
) -> None:
    unit = torch.nn.functional.normalize(literal.embedding, dim=1)
    norms = literal.r.norm(dim=-1).permute(1, 2, 0)  # [H,C,B]
    pairs = run.table("fit/pairs.parquet").to_pandas()
    compared = 0
    for pair in pairs.nlargest(500, "importance")["pair"]:
        head, neuron = divmod(int(pair), NEURONS)
        strongest = norms[head, neuron][top[head, neuron, :11]]
        if strongest[9] - strongest[10] < 1e-5 * strongest[9]:
            continue  # a tie in float32 for the tenth place
        compared += 1
        mine = unit[top[head, neuron, :10]]
        expected = float((mine - mine.mean(0)).square().sum())
        assert abs(pairs["inertia"][pair] - expected) < 1e-4
    assert compared > 400


@pytest.mark.parametrize("normalise", ["atom", "reference"])
def test_codes_are_those_of_a_literal_pursuit(normalise: str, directions: Directions) -> None:
    words = word_list("scenes")
    embeddings = text_embeddings(load_model("tiny"), words, templates=False).double()
    centred = embeddings - embeddings.mean(0)
    axis = 1 if normalise == "atom" else 0
    dictionary = centred / centred.norm(dim=axis, keepdim=True)
    fast = prepare_dictionary(embeddings, normalise=normalise)  # type: ignore[arg-type]
    torch.testing.assert_close(fast, dictionary)
    chosen = torch.arange(0, directions.pairs, 101)
    signals = torch.nn.functional.normalize(directions.vectors(chosen), dim=1)
    code = omp(signals, fast, 16)
    for i, signal in enumerate(signals):
        indices, values = reference.omp(signal.numpy(), dictionary.numpy(), 16)
        assert code.indices[i].tolist() == indices
        np.testing.assert_allclose(code.coefficients[i].numpy(), values, atol=1e-7)


@pytest.mark.parametrize("normalise", ["atom", "reference"])
def test_codes_in_the_table_are_those_of_the_signed_directions(
    run: Run, normalise: str, directions: Directions, tmp_path: Path
) -> None:
    shutil.copytree(run.url, tmp_path / "run")
    fitted = Run(str(tmp_path / "run"))
    fit(FitPlan(fitted.url, atoms=8, normalise=normalise, in_process=True))  # type: ignore[arg-type]
    words = word_list("scenes")
    embeddings = text_embeddings(load_model("tiny"), words, templates=False).double()
    dictionary = prepare_dictionary(embeddings, normalise=normalise)  # type: ignore[arg-type]
    codes = fitted.table("fit/codes.parquet").to_pandas()
    table = fitted.table("fit/pairs.parquet").to_pandas()
    same = 0
    for pair in range(0, directions.pairs, 257):
        signal = torch.nn.functional.normalize(directions.vectors(torch.tensor([pair]))[0], dim=0)
        signal = signal * float(table["sign"][pair])
        indices, values = reference.omp(signal.numpy(), dictionary.numpy(), 8)
        mine = codes[codes["pair"] == pair].sort_values("rank")
        if mine["word"].tolist() == [words[i] for i in indices]:  # but for ties in float32
            same += 1
            np.testing.assert_allclose(mine["coefficient"], values, atol=1e-4)
        cosines = torch.nn.functional.cosine_similarity(signal, dictionary)
        assert words[int(cosines.argmax())] == table["words"][pair][0]
    assert same >= 15, "of 16 pairs"


def test_logits_of_reconstruction_and_ablation_are_the_literal_sums(
    literal: Literal, coefficients: Tensor, directions: Directions
) -> None:
    texts = read_classes("scene-things").embed(load_model("tiny")).double()
    moments = moments_of(coefficients, geometry_of(directions), torch.arange(IMAGES))
    mean, contributions = moments.pairs.mean, Contributions(coefficients, directions)
    constant = (literal.embedding - literal.r.sum((1, 2)))[:1]  # [1,D], all means and b*

    own = components.pair_components(
        directions, torch.arange(directions.pairs), components.signs(moments)
    )
    fast = fidelity.reconstruct_pairs(contributions, mean, own) @ texts.T
    unit = own.view(HEADS, NEURONS, -1)
    along = torch.einsum("bhcd,hcd->bhc", literal.r, unit)
    rebuilt = constant + torch.einsum("bhc,hcd->bd", along, unit)
    torch.testing.assert_close(fast, rebuilt @ texts.T)
    torch.testing.assert_close(fast, literal.embedding @ texts.T)

    importance = components.importance(moments, directions.norms()).flatten()
    keep = torch.zeros(directions.pairs, dtype=torch.bool)
    keep[importance.argsort(descending=True)[: directions.pairs // 5]] = True
    keep = keep.view(HEADS, NEURONS)
    fast = contributions.mean_ablate(keep, mean).project(texts)
    kept = constant + (literal.r * keep[..., None]).sum((1, 2))
    torch.testing.assert_close(fast, kept @ texts.T)


@pytest.mark.parametrize("method", ["product", "neurons", "heads"])
def test_segmentation_is_the_gather_form_on_the_trained_model(
    method: str, features: Tensor, tower: torch.nn.Module
) -> None:
    texts = read_classes("scene-parts").embed(load_model("tiny")).double()
    setting = Setting(method, 64)  # type: ignore[arg-type]
    with torch.inference_mode():
        fast = Scorer(tower.attnpool, texts, [setting])(features[:4])[0]  # [B,P,g,g]
    centred = torch.nn.functional.normalize(texts - texts.mean(0), dim=1)
    slow = segment_reference.by_pairs(
        tower.attnpool, features[:4], centred, 64, repair=True, method=method
    )
    torch.testing.assert_close(fast.flatten(2), slow, rtol=1e-6, atol=1e-9)
    assert torch.equal(fast.flatten(2).argmax(1), slow.argmax(1))
    assert len(slow.argmax(1).unique()) > 3
