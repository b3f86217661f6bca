"""Comparing runs that were scored through lenses: which measure decides, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.analyse.compare import ComparePlan, analyse, compare, load
from pipelines.analyse.findings import concept_family
from pipelines.analyse.measure import Asked, measures_of
from pipelines.analyse.pair_shifts import fitted
from pipelines.errors import UsageError
from pipelines.lens.lens import Lens, write_lens
from tests.jobs.test_cli import nhd
from tests.lens.test_lens import EMPTY, some_lens
from tests.synthetic_run import HEADS, NEURONS, make_run

N = 400
LENS = "c" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lens_compare")


@pytest.fixture(scope="module")
def plain(folder: Path) -> str:
    return make_run(folder / "plain", N, seed=1)


@pytest.fixture(scope="module")
def baseline(folder: Path) -> str:
    return make_run(folder / "baseline", N, seed=1, lens=LENS, bucket="year")


@pytest.fixture(scope="module")
def current(folder: Path) -> str:
    return make_run(folder / "current", N, seed=2, boost={"yellow": 5}, lens=LENS)


@pytest.fixture(scope="module")
def elsewhere(folder: Path) -> str:
    return make_run(folder / "elsewhere", N, seed=2, boost={"yellow": 5}, lens="d" * 64)


def test_of_runs_with_the_same_lens_grounded_decides(
    baseline: str, current: str, folder: Path
) -> None:
    found = compare(ComparePlan(f"{folder}/same", baseline, current))
    assert found.summary["measure"] == found.plan.measure == "grounded"
    assert "the same lens" in found.summary["measure_because"]
    finding = found.of("concept")[0]
    assert finding["name"] == "yellow" and finding["measure"] == "grounded"
    assert finding["effect"] == finding["grounded"]["effect"]
    assert {"share", "score", "similarity", "grounded"} <= finding.keys()
    assert {"r_share", "r_score", "r_similarity", "r_grounded"} <= set(found.truth)
    assert found.summary["baseline"]["lens"] == LENS
    page = Path(folder, "same", "index.html").read_text()
    assert "Decided by <b>grounded score</b>, because both sides" in page
    assert "d of grounded" in page and "Lens, grounded score" in page


def test_grounded_scores_are_balanced_by_themselves_alone(baseline: str, current: str) -> None:
    sides = load(ComparePlan("", baseline, current))
    family = concept_family(sides, "grounded")
    assert np.array_equal(family.baseline_features[..., 0], family.baseline)
    assert family.baseline_features.shape[-1] == 1
    assert concept_family(sides, "similarity").current_features.shape[-1] == 4


def test_the_measure_can_be_chosen(baseline: str, current: str) -> None:
    plan = ComparePlan("", baseline, current, measure="similarity")
    found = analyse(plan, load(plan))
    assert found.summary["measure"] == "similarity"
    assert found.of("concept")[0]["effect"] == found.of("concept")[0]["similarity"]["effect"]


def test_without_a_lens_nothing_is_said_of_it(plain: str, folder: Path) -> None:
    found = compare(ComparePlan(f"{folder}/none", plain, plain))
    assert found.summary["measure"] == "similarity"
    assert "grounded" not in found.of("concept")[0] and "r_grounded" not in found.truth
    assert "grounded" not in Path(folder, "none", "index.html").read_text()


def test_of_runs_with_other_lenses_only_similarity_is_left(
    plain: str, baseline: str, elsewhere: str, folder: Path
) -> None:
    for number, one in enumerate((plain, baseline)):
        found = compare(ComparePlan(f"{folder}/other{number}", one, elsewhere))
        assert found.summary["measure"] == "similarity"
        assert "only similarity means the same" in found.summary["measure_because"]
        assert not {"share", "score", "grounded"} & found.of("concept")[0].keys()
        assert [f["name"] for f in found.shifted()][:1] == ["yellow"]
        page = Path(folder, f"other{number}", "index.html").read_text()
        assert "because the sides were not scored through the same lens" in page
        assert "d of share" not in page


@pytest.mark.parametrize("measure", ["grounded", "score", "share"])
def test_a_measure_that_means_two_things_is_refused(
    baseline: str, elsewhere: str, folder: Path, measure: Asked
) -> None:
    out = folder / f"refused_{measure}"
    found = nhd(
        "compare", "--baseline", baseline, "--current", elsewhere, "--out", str(out),
        "--measure", measure,
    )  # fmt: skip
    assert found.returncode == 2 and not out.exists()
    assert f"--measure {measure} cannot be compared: " in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_grounded_is_refused_where_there_is_no_lens(plain: str) -> None:
    plan = ComparePlan("", plain, plain, measure="grounded")
    with pytest.raises(UsageError, match="neither side was scored through a lens"):
        analyse(plan, load(plan))


def test_buckets_of_one_run_share_its_lens(baseline: str) -> None:
    plan = ComparePlan("", run=baseline, by="year")
    found = analyse(plan, load(plan))
    assert found.summary["measure"] == "grounded" and found.trend is not None
    part = found.trend[found.trend["concept"] == "yellow"]
    assert part["mean"].abs().max() < 0.1  # grounded scores here are 0.2 below similarity


def test_measures_do_not_depend_on_which_side_is_which() -> None:
    lenses: list[dict] = [{}, {"lens": None}, {"lens": LENS}, {"lens": "d" * 64}]
    for one in lenses:
        for other in lenses:
            shared = measures_of(one, other)
            assert shared == measures_of(other, one)
            assert ("grounded" in shared) == (one.get("lens") == other.get("lens") is not None)


def lens_with_words(url: str) -> Lens:
    """A lens of the synthetic model that gives every other pair the sign -1."""
    count = HEADS * NEURONS
    signs = np.where(np.arange(count) % 2, -1, 1).astype(np.int8)
    words = [[f"word {i}"] for i in range(count)]
    pairs = pa.table({"pair": np.arange(count, dtype=np.int32), "sign": signs, "words": words})
    return write_lens(url, some_lens(HEADS, NEURONS), EMPTY, pairs)


def test_signs_and_words_come_from_the_lens_where_there_is_no_fit(tmp_path: Path) -> None:
    url = f"{tmp_path}/lens"
    lens = lens_with_words(url)
    runs = {
        name: make_run(tmp_path / name, 60, 1, lens=lens.id, lens_url=url, fit=name == "fit")
        for name in ("a", "fit")
    }
    sides = load(ComparePlan("", runs["a"], runs["a"]))
    found = fitted(sides, HEADS * NEURONS)
    assert found["sign"].tolist() == [1, -1] * (HEADS * NEURONS // 2)
    assert found["words"][3] == "word 3"
    both = load(ComparePlan("", runs["a"], runs["fit"]))
    assert set(fitted(both, HEADS * NEURONS)["sign"]) == {1}  # a fit goes before the lens


def test_a_lens_that_moved_or_was_replaced_tells_nothing(tmp_path: Path) -> None:
    url = f"{tmp_path}/lens"
    lens = lens_with_words(url)
    run = make_run(tmp_path / "run", 60, 1, lens=lens.id, lens_url=url)
    sides = load(ComparePlan("", run, run))
    file = tmp_path / "lens" / "lens.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"id": "e" * 64}))
    assert set(fitted(sides, HEADS * NEURONS)["sign"]) == {1}
    file.unlink()
    assert set(fitted(sides, HEADS * NEURONS)["words"]) == {""}


def test_effects_of_pairs_follow_the_lens_s_signs(tmp_path: Path) -> None:
    url = f"{tmp_path}/lens"
    lens = lens_with_words(url)
    found = {}
    for name, lens_url in (("with", url), ("without", None)):
        runs = [
            make_run(tmp_path / f"{name}{s}", 60, s, lens=lens.id, lens_url=lens_url)
            for s in (1, 2)
        ]
        plan = ComparePlan("", *runs)
        pairs = analyse(plan, load(plan)).pairs
        assert pairs is not None
        effect = pairs.set_index("pair").sort_index()["effect"]
        found[name] = torch.tensor(effect.tolist())
    signs = torch.tensor([1, -1] * (HEADS * NEURONS // 2))
    torch.testing.assert_close(found["with"], found["without"] * signs)
