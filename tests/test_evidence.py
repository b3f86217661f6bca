"""The evidence page says of each claim what the results say, whichever way these point."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import UsageError
from pipelines.evidence.claims import Claim
from pipelines.evidence.page import EvidencePlan, evidence

WEIGHTS = "0" * 64
SIZE = (2000, 900)


def row(experiment: str, unit: str, accuracy: float, **more: Any) -> dict[str, Any]:
    sizes = {"k": None, "keep": None, "atoms": None, "control": False}
    rest = {"agree": 1.0, "explained": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01}
    return {"experiment": experiment, "unit": unit, "accuracy": accuracy, **sizes, **rest, **more}


def evaluation(pairs: float, neurons: float, better: float) -> dict[str, Any]:
    rows = [row("original", "pairs", 0.9), row("rank", "pairs", 0.9, k=1)]
    rows += [row("rank", "neurons", a, k=k) for k, a in ((1, neurons), (2, 0.88), (4, 0.89))]
    for keep in (0.05, 0.2):
        rows.append(row("ablation", "pairs", pairs, keep=keep))
        rows.append(row("ablation", "neurons", neurons, keep=keep))
        rows.append(row("ablation", "pairs", 0.1, keep=keep, control=True))
    rows += [row("text", u, a, atoms=64) for u, a in (("pairs", pairs), ("neurons", neurons))]
    alike = {"units": "all", "better": better, "median_pairs": 2.0, "median_neurons": 3.0}
    r = {"r_share": better, "r_score": 0.5, "r_similarity": 0.6}
    return {
        "model": "tiny",
        "weights_sha256": WEIGHTS,
        "classes": 12,
        "seen": {"images": 100},
        "rows": rows,
        "monosemantic": [{"measure": "inertia", "images_by": "norm", **alike}],
        "labels": [{"label": "red | green", **r}],
    }


def segmentation(product: float) -> dict[str, Any]:
    found = {"product": product, "heads": 0.4, "neurons": 0.3, "maskclip": 0.35}
    rows = [{"method": m, "miou": v, "paper_miou": 0.2} for m, v in found.items()]
    lead = {"method": "product", "over": "heads", "low": 0.01, "high": 0.02}
    view = {"stride": 0.5, "taper": False, "scales": [1.0]}
    images = {"measured": 7}
    found = {"weights_sha256": WEIGHTS}
    return found | {
        "results": rows,
        "leads": [lead],
        "view": view,
        "images": images,
        "classes": [1, 2],
    }


def made(folder: Path, found: dict[str, Any], maps: dict[str, Any]) -> list[Claim]:
    (folder / "overlays").mkdir(parents=True, exist_ok=True)
    heads = {"score": 0.2, "heads": [1, 2], "words": [["car"], ["tree"]]}
    unclear = {"neuron": 3, "image_coherence": [0.9, 0.1], "words_fit_images": [0.9, 0.9]} | heads
    case = {"neuron": 4, "image_coherence": [0.5, 0.5], "words_fit_images": [0.6, 0.5]} | heads
    cases = {"cases": [unclear, case], "weights_sha256": WEIGHTS}
    for name, content in {"evaluation": found, "segmentation": maps, "cases": cases}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    Image.new("RGB", SIZE, "navy").save(folder / "overlays" / "000.png")
    url = str(folder)
    return evidence(EvidencePlan(url, url, (url,), f"{url}/evidence.md", "nhd trial"))


def held(claims: list[Claim], start: str) -> str:
    (found,) = [claim.held for claim in claims if claim.claim.startswith(start)]
    return found


def test_claims_hold_or_fail_as_the_results_say(tmp_path: Path) -> None:
    good = made(tmp_path / "a", evaluation(0.88, 0.6, 0.7), segmentation(0.5))
    bad = made(tmp_path / "b", evaluation(0.5, 0.8, 0.3), segmentation(0.33))
    for start in ("Few pairs", "Neurons need", "A few words", "Pairs are more", "Products of"):
        assert held(good, start).startswith("yes"), start
    for start in ("Few pairs", "A few words", "Pairs are more", "Products of"):
        assert held(bad, start) == "no", start
    assert held(bad, "The share").startswith("partly") and held(good, "The share") == "yes"
    identities = [claim for claim in good if claim.kind == "identity"]
    assert [claim.held for claim in identities] == ["yes"]
    assert any("neuron 4" in claim.ours for claim in good)


def test_a_ceiling_is_said_and_variance_decides(tmp_path: Path) -> None:
    found = evaluation(0.9, 0.9, 0.7)
    for entry in found["rows"]:
        entry["explained"] = {"pairs": 0.95, "neurons": 0.6}[entry["unit"]]
    claims = made(tmp_path, found, segmentation(0.5))
    assert "ceiling" in held(claims, "A few words") and "ceiling" in held(claims, "Neurons need")
    assert held(claims, "Few pairs") == "no"


def test_the_page_holds_every_claim_and_its_pictures(tmp_path: Path) -> None:
    claims = made(tmp_path, evaluation(0.88, 0.6, 0.7), segmentation(0.5))
    text = (tmp_path / "evidence.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == len(claims) + 2
    assert all(line.replace("\\|", "").count("|") == 6 for line in lines)
    picture = (tmp_path / "evidence" / "segmentation.png").read_bytes()
    assert Image.open(io.BytesIO(picture)).size == (1400, 630)
    assert "(evidence/segmentation.png)" in text and "ablation.png" not in text


def test_a_missing_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nhd evaluate writes"):
        evidence(EvidencePlan(str(tmp_path), str(tmp_path), (str(tmp_path),), "x.md"))


def test_a_page_without_a_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Else its pictures would go to a folder of the page's own name."""
    with pytest.raises(UsageError, match=r"ends in \.md"):
        EvidencePlan(str(tmp_path), str(tmp_path), (str(tmp_path),), f"{tmp_path}.d/page")


def test_rounding_makes_no_identity_fail_and_constant_labels_say_nothing(tmp_path: Path) -> None:
    found = evaluation(0.88, 0.6, 0.7)
    found["rows"][1]["agree"] = 1 - 1 / 50_000
    nothing = {"r_share": None, "r_score": None, "r_similarity": None}
    found["labels"].append({"label": "dark", **nothing})
    claims = made(tmp_path, found, segmentation(0.5))
    assert held(claims, "Every pair") == "yes" and held(claims, "The share") == "yes"
    found["rows"][1]["agree"] = 0.99
    assert held(made(tmp_path, found, segmentation(0.5)), "Every pair") == "no"


def test_results_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    other = segmentation(0.5) | {"weights_sha256": "1" * 64}
    with pytest.raises(UsageError, match="other weights"):
        made(tmp_path, evaluation(0.88, 0.6, 0.7), other)


def test_a_lead_within_the_intervals_is_not_clear(tmp_path: Path) -> None:
    claims = made(tmp_path, evaluation(0.61, 0.6, 0.7), segmentation(0.5))
    assert held(claims, "Few pairs") == "not clearly"
