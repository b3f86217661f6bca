"""All claims on one page of Markdown with its pictures, written from results that others left."""

import io
import json
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pipelines.errors import UsageError
from pipelines.evidence.claims import (
    Claim,
    case_claims,
    clearest,
    fidelity_claims,
    label_claims,
    monosemantic_claims,
)
from pipelines.evidence.segmentation import segmentation_claims
from pipelines.io.files import atomic_write
from pipelines.io.listing import absolute
from pipelines.io.store import Run

PICTURES = {
    "ablation.png": "Zero-shot accuracy with a share of the units kept, the others at their mean.",
    "text.png": "Zero-shot accuracy with every direction replaced by a few words.",
    "polysemanticity.png": "How alike the ten images are that pairs and neurons fire on.",
    "sub_concepts.png": "A neuron that its heads split, with what each head looks at.",
    "segmentation.png": "A scene, its truth, and every method's map.",
}
WIDTH, COLOURS = 1400, 192
HEAD = ("claim", "paper", "here", "kind", "held")


@dataclass(frozen=True)
class EvidencePlan:
    """Where results lie, and where the page goes (a file; pictures go to a folder beside it)."""

    evaluation: str
    cases: str
    segmentation: tuple[str, ...]
    """The last one's pictures are shown."""
    out: str
    command: str = ""
    """What the reader can type to get this page."""

    def __post_init__(self) -> None:
        if not self.out.endswith(".md"):  # what is left without it is the pictures' folder
            raise UsageError(f"--out {self.out} is no Markdown file: give a name that ends in .md")


def evidence(plan: EvidencePlan) -> list[Claim]:
    """Write the page; UsageError where a result is not there, or of another model."""
    folders = [Run(absolute(url)) for url in (plan.evaluation, plan.cases, *plan.segmentation)]
    evaluation = _read(folders[0], "evaluation.json", "nhd evaluate")
    search = _read(folders[1], "cases.json", "nhd explain --search")
    segmentations = [_read(f, "segmentation.json", "nhd segment") for f in folders[2:]]
    _same_weights([evaluation, search, *segmentations], folders)
    cases = search["cases"]
    claims = [
        *fidelity_claims(evaluation),
        *monosemantic_claims(evaluation),
        *case_claims(cases),
        *(claim for found in segmentations for claim in segmentation_claims(found)),
        *label_claims(evaluation),
    ]
    out = absolute(plan.out)
    beside = out.removesuffix(".md")
    shown = _copy(folders, cases, {claim.figure for claim in claims}, beside)
    about = _about(evaluation, segmentations)
    text = _page(plan, claims, shown, about, beside.rpartition("/")[2])
    atomic_write(out, text.encode())
    return claims


def _read(folder: Run, name: str, command: str) -> Any:
    if not folder.exists(name):
        raise UsageError(f"{folder.url} has no {name}: it is what {command} writes; run it first")
    return json.loads(folder.read(name))


def _same_weights(found: list[Any], folders: list[Run]) -> None:
    weights = [one["weights_sha256"] for one in found]
    for folder, other in zip(folders, weights, strict=True):
        if other != weights[0]:
            raise UsageError(
                f"{folder.url} was made with other weights ({other[:12]}) than {folders[0].url} "
                f"({weights[0][:12]}); give results of one model"
            )


def _copy(folders: list[Run], cases: list[Any], wanted: set[str], beside: str) -> dict[str, str]:
    """Pictures into the folder beside the page; those that are there, with their captions."""
    sources = {name: (folders[0], name) for name in PICTURES}
    sources["segmentation.png"] = (folders[-1], "overlays/000.png")
    if cases:
        sources["sub_concepts.png"] = (folders[1], f"neuron-{clearest(cases)['neuron']}.png")
    shown = {}
    for name, caption in PICTURES.items():
        folder, path = sources[name]
        if name in wanted and folder.exists(path):
            atomic_write(f"{beside}/{name}", _smaller(folder.read(path)))
            shown[name] = caption
    return shown


def _smaller(png: bytes) -> bytes:
    """A picture for a page of text: no wider than WIDTH, in few colours."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _page(
    plan: EvidencePlan,
    claims: list[Claim],
    shown: dict[str, str],
    about: str,
    folder: str,
) -> str:
    rows = [
        HEAD,
        ("---",) * len(HEAD),
        *((c.claim, c.paper, c.ours, c.kind, c.held) for c in claims),
    ]
    table = "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)
    pictures = "\n\n".join(f"![{text}]({folder}/{name})\n\n{text}" for name, text in shown.items())
    made = f" It was made by `{plan.command}`." if plan.command else ""
    return f"""# Evidence

Written by `nhd evidence` from measured results; do not edit.{made}

The paper (arXiv 2509.19943) measures CLIP RN50x16 on ImageNet, PASCAL Context-59 and Stanford Cars.
Here: {about}
So levels cannot be compared; whether a claim holds can.
An identity is true of any model and any images, and only shows that the computation is right.

{table}

{pictures}
"""


def _about(evaluation: Any, segmentations: list[Any]) -> str:
    images, classes = evaluation["seen"]["images"], evaluation["classes"]
    segmentation = segmentations[-1]
    counts = segmentation["images"]
    return (
        f"{evaluation['model']} (weights {evaluation['weights_sha256'][:12]}), {images:,} images "
        f"in {classes} classes for the first claims, and "
        f"{counts['measured']:,} scenes with masks in "
        f"{len(segmentation['classes'])} classes for segmentation."
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
