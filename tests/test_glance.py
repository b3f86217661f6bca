"""The page's own numbers and sentences: agreement of measures, sizes of images, at a glance."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.analyse.agreement import agreement
from pipelines.analyse.attribution import Criteria
from pipelines.analyse.compare import ComparePlan, Comparison, analyse, load
from pipelines.pages.glance import glance, named, size_word
from pipelines.pages.report import contents, model_of, report_page
from pipelines.pages.sizes import sizes_of
from tests.synthetic_run import make_run

CRITERIA = Criteria(0.01, 0.1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("glance")
    one = make_run(folder / "a", 400, seed=1)
    other = make_run(folder / "b", 400, 2, {"yellow": 5}, rejected=3)
    plan = ComparePlan(str(folder / "out"), one, other)
    return analyse(plan, load(plan))


@pytest.fixture(scope="module")
def model(found: Comparison) -> dict[str, Any]:
    return model_of(found)


def test_measures_are_correlated_within_the_sides(found: Comparison) -> None:
    concepts = found.of("concept")
    told = agreement(found.sides, concepts, CRITERIA)
    assert [row["name"] for row in told["concepts"]] == [f["name"] for f in concepts]
    for pair in told["pairs"]:
        r = []
        for finding in concepts:
            columns = [f"{m}_{finding['name']}" for m in pair["measures"]]
            sides = [s.rows[columns] for s in (found.sides.baseline, found.sides.current)]
            r.append(pd.concat([x - x.mean() for x in sides]).corr().iloc[0, 1])
        assert pair["images_r"] == pytest.approx(np.median(r))
        assert (pair["low"], pair["high"]) == pytest.approx((min(r), max(r)))
        effects = [[f[m]["effect"] for f in concepts] for m in pair["measures"]]
        assert pair["effects_r"] == pytest.approx(np.corrcoef(effects)[0, 1])


def test_a_planted_disagreement_is_seen(found: Comparison) -> None:
    concepts = [dict(f) for f in found.of("concept")]
    none = {"effect": 0.01, "low": 0.0, "high": 0.02, "q": 1.0}
    for finding in concepts:
        finding |= {m: dict(none) for m in found.sides.measures}
    concepts[0]["share"] |= {"effect": 0.4, "q": 1e-9}
    concepts[1]["share"] |= {"effect": 0.4, "q": 1e-9}
    concepts[1]["score"] |= {"effect": -0.05, "q": 1e-9}  # sure, but too small to count
    rows = agreement(found.sides, concepts, CRITERIA)["concepts"]
    assert [row["counted"] for row in rows[:3]] == [["share"], ["share"], []]
    assert [row["opposite"] for row in rows[:3]] == [False, True, False]


def test_one_measure_alone_has_nothing_to_agree_with(found: Comparison) -> None:
    alone = replace(found.sides, measures=("similarity",))
    assert agreement(alone, found.of("concept"), CRITERIA) == {}
    single = replace(found, sides=alone, truth=found.truth)
    assert 'id="measures"' not in report_page(model_of(single))


def test_sizes_are_those_of_the_rows(found: Comparison) -> None:
    rows = pd.DataFrame({"width": [100, 100, 300, 50], "height": [100, 100, 200, 80]})
    sizes = sizes_of(replace(found.sides.baseline, rows=rows))
    assert sizes["median"] == [100, 100] and sizes["commonest"] == [100, 100]
    assert (sizes["commonest_share"], sizes["landscape"], sizes["portrait"]) == (0.5, 0.25, 0.25)


def test_the_glance_names_every_change_and_leads_to_it(model: dict, found: Comparison) -> None:
    points = [point for part in model["glance"] for point in part["points"]]
    changed = found.shifted()
    assert changed and changed[0]["name"] == "yellow"
    for number, finding in enumerate(changed):
        assert points[number]["lead"] == f"More {finding['text']}:"
        assert points[number]["href"] == f"#changed-{number + 1}"
        assert f"{finding['effect']:+.2f}" in points[number]["text"]
    text = report_page(model)
    places = {f"#{name}" for name, _ in model["contents"]} | {p["href"] for p in points}
    assert all(text.count(f'id="{place[1:]}"') == 1 for place in places)
    alarms = found.summary["control"]["kinds"]["concept"]["splits_with_alarm"]
    assert any(p["href"] == "#control" and p["lead"].startswith(str(alarms)) for p in points)


def test_a_difference_that_no_concept_names_is_said(model: dict) -> None:
    unnamed = model | {"cards": []}
    unnamed["findings"] = model["findings"] | {"overall": {**model["findings"]["overall"]}}
    leads = []
    for shifted in (True, False):
        unnamed["findings"]["overall"]["shifted"] = shifted
        leads.append([point.lead for point in glance(unnamed)[0].points])
    assert "Something differs all the same:" in leads[0]
    assert "Something differs all the same:" not in leads[1]
    assert "changed" not in [name for name, _ in contents(unnamed)]


def test_rates_of_what_is_missing_are_told_whatever_the_tests_say(model: dict) -> None:
    every = model["findings"]["rejects"][0] | {"baseline": 0.01, "current": 0.115}
    for shifted, lead in ((True, "Data health changed:"), (False, "Data health:")):
        findings = model["findings"] | {"rejects": [every | {"shifted": shifted}], "missing": []}
        point = glance(model | {"findings": findings})[2].points[-1]
        assert point.lead == lead and "unusable samples 1.0 % to 11.5 %" in point.text
    spotless = every | {"shifted": False, "baseline_count": 0, "current_count": 0}
    findings = model["findings"] | {"rejects": [spotless], "missing": []}
    assert "every sample" in glance(model | {"findings": findings})[2].points[-1].text


def test_concepts_are_called_by_their_words_wherever_they_are_causes(found: Comparison) -> None:
    """In tables and sentences; `yellow_things` is only the name of a column."""
    named_otherwise = json.loads(
        json.dumps(model_of(found)).replace('"yellow"', '"yellow_things"'), object_hook=_worded
    )
    follows = [f for f in named_otherwise["findings"]["concept"] if f["explained_by"]]
    assert follows and all(f["explained_by"] == ["yellow_things"] for f in follows)
    named_otherwise["glance"] = [p._asdict() for p in glance(named_otherwise)]
    text = report_page(named_otherwise)
    assert "because of yellow &amp; gold." in text and "<td>yellow &amp; gold</td>" in text
    assert "until yellow &amp; gold is distributed alike" in text


def _worded(found: dict[str, Any]) -> dict[str, Any]:
    is_it = found.get("name") == "yellow_things" and "text" in found
    return found | ({"text": "yellow & gold"} if is_it else {})


@pytest.mark.parametrize("low", [0.12, 0.4, 0.61])
def test_every_auc_is_drawn_where_it_is(model: dict, low: float) -> None:
    """Below guessing too, which a classifier falls by chance."""
    overall = model["findings"]["overall"] | {"low": low, "effect": low + 0.1, "high": low + 0.3}
    text = report_page(model | {"findings": model["findings"] | {"overall": overall}})
    drawing = text[text.index('<figure class="auc">') : text.index("guessing → never wrong")]
    ticks = [float(x) for x in re.findall(r'class="zero" x1="([\d.]+)".*?y1="22"', drawing)]
    one, per = ticks[-1], (ticks[-1] - ticks[-2]) / 0.1
    ends = re.search(r'class="range" x1="([\d.]+)" x2="([\d.]+)"', drawing)
    middle = re.search(r'class="dot" cx="([\d.]+)"', drawing)
    assert ends is not None and middle is not None
    at = [float(x) for x in (*ends.groups(), middle[1])]
    drawn = [1 - (one - x) / per for x in at]
    assert drawn == pytest.approx([low, low + 0.3, low + 0.1], abs=1e-3)
    assert min(at) >= 8 and max(at) <= one


def test_what_is_left_out_of_a_list_is_said(model: dict) -> None:
    shifted = ["yellow", *(f"concept {i}" for i in range(30))]
    concepts = model["summary"]["concepts"] | {"shifted": shifted, "tested": 1000}
    rows = [{**model["agreement"]["concepts"][0], "counted": ["share"]}] * 20
    many = model | {
        "summary": model["summary"] | {"concepts": concepts},
        "agreement": model["agreement"] | {"concepts": rows},
    }
    text = report_page(many)
    assert f"{31 - len(model['cards'])} more are marked in" in text
    assert text.count("</b> is counted by") == 8 and "12 more are marked in the table" in text
    assert "more are marked" not in report_page(model)


def test_every_hint_of_a_head_is_in_the_list_of_words(model: dict) -> None:
    """A hint needs a pointer to hover; the list is there for fingers, keyboards and paper."""
    text = report_page(model)
    heads = re.findall(r'<th scope="col"[^>]* title="[^"]+">([^<]+)</th>', text)
    terms = " ".join(re.findall(r"<dt>([^<]+)</dt>", text[text.index('id="method"') :])).lower()
    words = {head.split()[0].rstrip(",").lower() for head in heads}
    assert {"d", "q", "psi", "ks", "wasserstein", "follows"} <= words
    missing = words - set(re.findall(r"\w+", terms)) - {"lowest", "p"}
    assert not missing and "permutations" in terms


def test_words_for_sizes_and_lists() -> None:
    sizes = [size_word(x) for x in (0.1, -0.2, 0.4998, -0.79, 1.2)]
    assert sizes == ["slight", "small", "medium", "medium", "large"]
    assert named(["a"]) == "a" and named(["a", "b"]) == "a and b"
    assert named(list("abc")) == "a, b and c"
    assert named(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_the_page_is_written_from_its_model_alone(model: dict, tmp_path: Path) -> None:
    assert report_page(json.loads(json.dumps(model))) == report_page(model)


def test_a_small_alpha_is_shown_in_two_digits(model: dict) -> None:
    small = model | {"summary": model["summary"] | {"alpha": 0.05 / 36}}
    small["glance"] = [part._asdict() | {"points": []} for part in glance(small)]
    sure = " ".join(point.text for point in glance(small)[1].points)
    assert "where 0.0014 is allowed" in sure and "at most 0.14 %" in sure
    assert "0.00138" not in report_page(small) and "q below 0.0014" in report_page(small)
