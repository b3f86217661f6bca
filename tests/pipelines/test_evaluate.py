"""Evaluate: identities hold, counts do not depend on who counts, and nothing is counted twice."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from nhd_ops import attention_pool, components
from nhd_ops.contributions import Contributions, Directions
from nhd_ops.fidelity import zero_shot
from nhd_ops.sparse_code import prepare_dictionary
from pipelines.errors import Incomplete, UsageError
from pipelines.evaluate import design, setup
from pipelines.evaluate.arms import arms_of
from pipelines.evaluate.job import evaluate
from pipelines.evaluate.plan import EvaluatePlan
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.classes import read_classes
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model, text_embeddings
from pipelines.run.resources import Resources
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan

Small = dict[str, Any]
WORDS = ("red", "green", "blue", "car", "tree", "star", "house", "yellow", "circle", "sky", "dark")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """What makes an evaluation fast: few settings, and a dictionary of WORDS."""
    words = tmp_path_factory.mktemp("words") / "words.txt"
    words.write_text("\n".join(WORDS))
    return {
        "fractions": (0.0, 0.05, 0.3, 1.0),
        "ranks": (1, 2, 8),
        "seeds": (0,),
        "atoms": (4, 8, 128),  # which is more than there are words
        "words": str(words),
        "in_process": True,
    }


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("things")
    write_scenes(str(folder), 120, seed=9, per_shard=50, objects=1)
    return f"{folder}/*.tar"


@pytest.fixture(scope="module")
def run(things: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of the shipped weights, with dense coefficients."""
    out = str(tmp_path_factory.mktemp("runs") / "things")
    extract(plan(things, out, model=ModelSpec("tiny"), keep="dense"))
    return Run(out)


@pytest.fixture(scope="module")
def images(run: Run, small: Small, things: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The folder of an evaluation from pixels."""
    out = str(tmp_path_factory.mktemp("evaluations") / "images")
    evaluate(EvaluatePlan(run.url, data=things, out=out, **small))
    return Run(out)


def dense_of(run: Run) -> tuple[pd.DataFrame, torch.Tensor, Directions]:
    """Rows, coefficients s [B,H,C] up to their rounding, and directions."""
    rows = run.images().to_pandas()
    directions = attention_pool.directions_of(load_model("tiny").model.visual.attnpool)
    heads = [np.stack(rows[f"head_{head:03d}"]) for head in range(directions.heads)]
    return rows, torch.from_numpy(np.stack(heads, 1)) / directions.norms(), directions


def rows_of(out: Run) -> pd.DataFrame:
    return out.table("evaluation.parquet").to_pandas()


def chosen(rows: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows), wanted
    return rows


def test_identities_give_every_image_the_class_it_had(images: Run) -> None:
    rows = rows_of(images)
    assert set(rows["images"]) == {120, 84}
    for wanted in (
        {"experiment": "original", "unit": "pairs"},
        {"experiment": "rank", "unit": "pairs", "k": 1},
        {"experiment": "rank", "unit": "neurons", "k": 8},
        {"experiment": "ablation", "keep": 1.0},
    ):
        assert (chosen(rows, **wanted)["agree"] == 1).all(), wanted
        assert (chosen(rows, **wanted)["explained"] > 1 - 1e-6).all(), wanted
    assert (chosen(rows, unit="encode_image")["agree"] == 1).all()


def test_keeping_nothing_is_one_class_for_all_images(images: Run, run: Run, things: str) -> None:
    """The constant's accuracy is then the share of images of some class."""
    truth = [s.fields["class"] for url in expand(things) for s in shards.samples(url)]
    counts = {0, *(truth.count(name) for name in set(truth))}
    none = chosen(rows_of(images), experiment="ablation", keep=0.0)
    assert len(set(none["correct"])) == 1 and set(none["correct"]) <= counts
    np.testing.assert_allclose(none["explained"], 0, atol=1e-5)


def test_ablations_are_those_of_stored_coefficients_one_by_one(images: Run, run: Run) -> None:
    classes = read_classes("scene-things")
    texts = setup.read_tables(images, "cpu")["classes"]
    rows, s, directions = dense_of(run)
    truth = torch.tensor([classes.names.index(json.loads(m)["class"]) for m in rows["meta"]])
    found = chosen(rows_of(images), experiment="ablation", unit="pairs", control=False)
    moments = run.moments()
    importance = components.importance(moments, directions.norms()).flatten()
    for kept, correct in zip(found["kept"].astype(int), found["correct"].astype(int), strict=True):
        keep = torch.zeros(directions.pairs, dtype=torch.bool)
        keep[importance.topk(kept).indices] = True
        keep, mean = keep.view(8, 512), moments.pairs.mean
        ablated = Contributions(s, directions).mean_ablate(keep, mean).total()
        assert abs(int((zero_shot(ablated, texts) == truth).sum()) - correct) <= 1, "fp16"


def test_codes_of_all_words_are_the_projection_on_their_span(images: Run, run: Run) -> None:
    """For pairs; so at most that much of the embedding is in the words."""
    loaded = load_model("tiny")
    atoms = prepare_dictionary(text_embeddings(loaded, list(WORDS), templates=False)).double()
    basis = torch.linalg.svd(atoms, full_matrices=False).Vh[: len(WORDS) - 1]
    embedding = torch.from_numpy(np.stack(run.images()["embedding"].to_pylist()))
    centred = embedding - embedding.mean(0)
    wanted = (centred @ basis.T).square().sum() / centred.square().sum()
    text = chosen(rows_of(images), experiment="text")
    assert set(text["atoms"]) == {4, 8, len(WORDS)}
    found = chosen(text, unit="pairs", atoms=len(WORDS))["explained"].iloc[0]
    assert found == pytest.approx(float(wanted), abs=1e-4) and 0.1 < found < 0.99
    assert (chosen(text, unit="pairs")["explained"].diff().dropna() > 0).all()


def test_stored_coefficients_give_the_same_as_pixels(images: Run, run: Run, small: Small) -> None:
    shutil.copytree(images.at("setup"), run.at("evaluate", "setup"))
    found = evaluate(EvaluatePlan(run.url, **small))
    assert found.provenance["coefficients"] == "dense"
    assert run.exists("evaluate", "index.html")
    pixels, dense = rows_of(images).iloc[:-1], found.rows
    assert (pixels["correct"] - dense["correct"]).abs().max() <= 1  # rounded to fp16
    np.testing.assert_allclose(pixels["explained"], dense["explained"], atol=2e-3)


def test_only_what_is_missing_is_counted_and_batches_make_no_difference(
    images: Run, run: Run, small: Small, things: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(images.url, out)
    lost, *kept = sorted((out / "counts").iterdir())
    lost.unlink()
    before = {path: path.stat().st_mtime_ns for path in kept}
    (out / "evaluation.parquet").unlink()
    evaluate(EvaluatePlan(run.url, data=things, out=str(out), batch_size=7, **small))
    assert {path: path.stat().st_mtime_ns for path in kept} == before and lost.exists()
    one, other = (rows.iloc[:-1] for rows in (rows_of(images), rows_of(Run(str(out)))))
    assert one["correct"].equals(other["correct"]) and one["agree"].equals(other["agree"])
    np.testing.assert_allclose(one["explained"], other["explained"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.cluster
def test_ray_workers_count_what_one_process_counts(
    ray: object, images: Run, run: Run, small: Small, things: str, tmp_path: Path
) -> None:
    shutil.copytree(images.at("setup"), tmp_path / "setup")
    asked = {**small, "in_process": False, "resources": Resources(2)}
    evaluate(EvaluatePlan(run.url, data=things, out=str(tmp_path), **asked))
    one, other = rows_of(images), rows_of(Run(str(tmp_path)))
    assert one["correct"].equals(other["correct"]) and one["agree"].equals(other["agree"])


def test_settings_are_counted_in_the_order_they_are_named(images: Run) -> None:
    about = json.loads(images.read("setup.json"))["design"]
    made = design.Design(**{k: tuple(v) if isinstance(v, list) else v for k, v in about.items()})
    directions = attention_pool.directions_of(load_model("tiny").model.visual.attnpool)
    arms = arms_of(
        made, directions, setup.read_tables(images, "cpu"), setup.read_texts(images, made, "cpu")
    )
    assert [s for arm in arms for s in arm.settings] == made.settings()[1:]
    nothing = torch.zeros(2, made.heads, made.neurons)
    assert all(arm.shifts(nothing).shape == (len(arm.settings), 2, made.width) for arm in arms)


def test_the_page_and_the_tables_say_the_same(images: Run) -> None:
    page = images.read("index.html").decode()
    rows = rows_of(images)
    shown = chosen(rows, experiment="ablation", unit="pairs", keep=0.05, control=False)
    assert repr(float(shown["accuracy"].iloc[0])) in page
    stored = json.loads(images.read("evaluation.json"))
    assert len(stored["rows"]) == len(rows)
    assert {row["kind"] for row in stored["rows"]} == {"finding", "identity", "control", "check"}
    for name in ("ablation", "text", "polysemanticity"):
        assert images.read(f"{name}.png")[:4] == b"\x89PNG"


def test_purity_is_that_of_the_images_of_largest_norm(images: Run, run: Run) -> None:
    table = images.table("polysemanticity.parquet").to_pandas()
    rows, s, directions = dense_of(run)
    unit = np.stack(rows["embedding"])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)

    def inertia(norms: np.ndarray) -> float:
        top = unit[np.argsort(-norms, kind="stable")[:10]]
        return float(10 * (1 - np.linalg.norm(top.mean(0)) ** 2))

    vectors = directions.neuron_vectors(torch.arange(512))  # [C,H,D]
    close = 0
    for n in range(0, 512, 37):
        neuron = table[(table["unit"] == "neuron") & (table["neuron"] == n)].iloc[0]
        norms = (s[:, :, n] @ vectors[n]).norm(dim=1).numpy()
        close += abs(neuron["inertia"] - inertia(norms)) < 1e-3
        pairs = table[(table["unit"] == "pair") & (table["neuron"] == n)]
        for head, found in enumerate(pairs["inertia"]):
            close += abs(found - inertia(s[:, head, n].abs().numpy())) < 1e-3
        assert neuron["pairs_below"] == (pairs["inertia"] < neuron["inertia"]).mean()
    assert close >= 0.97 * 14 * 9  # fp16 swaps a few images


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"truth": "colour", "classes": "red,blue"},
            "no image has a class: 120 have no field 'colour'",
        ),
        ({"classes": "red car,blue car", "truth": "caption"}, "of 120 it names none of the 2"),
        ({"classes": "one"}, "no list of classes"),
        ({"atoms": (0,)}, "--atoms"),
        ({"fractions": (1.5,)}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    asked: dict[str, object], says: str, run: Run, small: Small, tmp_path: Path
) -> None:
    small = {**small, "atoms": (), "out": str(tmp_path / "out")}
    with pytest.raises(UsageError, match=says):
        evaluate(EvaluatePlan(run.url, **{**small, **asked}))
    assert not (tmp_path / "out" / "setup.json").exists()


@pytest.mark.slow
def test_a_shard_that_changed_is_counted_again(
    run: Run, small: Small, things: str, tmp_path: Path
) -> None:
    one, other, _ = expand(things)
    data, asked = tmp_path / "one.tar", {**small, "atoms": (), "seeds": ()}
    plan_ = EvaluatePlan(run.url, data=str(data), out=str(tmp_path / "out"), **asked)
    seen = []
    for lying in (one, other):
        data.write_bytes(Path(lying).read_bytes())
        os.utime(data, ns=(1, len(seen)))
        seen.append(evaluate(plan_).rows)
    assert not seen[0]["correct"].equals(seen[1]["correct"])


def test_a_run_of_one_image_is_refused(small: Small, tmp_path: Path) -> None:
    write_scenes(str(tmp_path), 1, seed=0, per_shard=1, objects=1)
    extract(plan(f"{tmp_path}/*.tar", str(tmp_path / "run"), model=ModelSpec("tiny")))
    with pytest.raises(UsageError, match="nothing varies over the 1 images"):
        evaluate(EvaluatePlan(str(tmp_path / "run"), **{**small, "atoms": ()}))


def test_a_refused_evaluation_leaves_nothing_to_the_next(
    run: Run, small: Small, tmp_path: Path
) -> None:
    """Above all no codes: those of the next may be of other words."""
    with pytest.raises(UsageError, match="no image has a class"):
        evaluate(EvaluatePlan(run.url, truth="colour", out=str(tmp_path), **small))
    assert not [path.name for path in tmp_path.rglob("*.*") if "lock" not in path.name]


def test_one_folder_holds_one_evaluation(images: Run, run: Run, small: Small, things: str) -> None:
    with pytest.raises(UsageError, match="truth was class and is now caption"):
        evaluate(EvaluatePlan(run.url, data=things, out=images.url, truth="caption", **small))


def test_images_without_a_known_class_are_told(
    run: Run, small: Small, things: str, tmp_path: Path
) -> None:
    names = read_classes("scene-things").names[:20]
    asked = {**small, "atoms": (), "classes": ",".join(names), "data": things, "out": str(tmp_path)}
    found = evaluate(EvaluatePlan(run.url, **asked))
    assert 0 < found.seen["images"] < 120
    assert found.seen["images"] + found.seen["unknown"] == found.seen["read"] == 120
    assert f"{found.seen['unknown']} name no known class" in (tmp_path / "index.html").read_text()


def test_a_damaged_shard_fails_alone(run: Run, small: Small, things: str, tmp_path: Path) -> None:
    good, bad = expand(things)[0], tmp_path / "bad.tar"
    bad.write_bytes(Path(good).read_bytes()[:20_000])
    asked = {**small, "atoms": (), "out": str(tmp_path / "out"), "classes": "red car,red tree"}
    with pytest.raises(Incomplete, match="1 of 2 shards failed"):
        evaluate(EvaluatePlan(run.url, data=f"{good},{bad}", **asked))
    assert len(list((tmp_path / "out" / "counts").iterdir())) == 1
