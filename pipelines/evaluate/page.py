"""An evaluation as one page: what the pairs keep, beside the paper's numbers."""

from pipelines.evaluate import sections
from pipelines.evaluate.evaluation import Evaluation
from pipelines.evaluate.figures import figures
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.pages.numbers import percent, thousands
from pipelines.pages.study import Study, render_study

KEPT = 0.05  # the share of units that the headline tells of


def headline(found: Evaluation) -> str:
    """The finding in a sentence, without its full stop."""
    original = percent(found.row("original", "pairs")["accuracy"])
    kept = {
        unit: percent(found.row("ablation", unit, keep=KEPT)["accuracy"])
        for unit in ("pairs", "neurons")
        if KEPT in found.design.fractions
    }
    if not kept:
        return f"All pairs together reach {original}"
    return (
        f"{100 * KEPT:.0f} % of the pairs keep {kept['pairs']} accuracy of {original}, "
        f"{100 * KEPT:.0f} % of the neurons {kept['neurons']}"
    )


def write_page(out: Run, found: Evaluation) -> None:
    """index.html, and its figures as files."""
    pictures = figures(found)
    for name, png in pictures.items():
        atomic_write(out.at(f"{name}.png"), png)
    parts = [
        sections.beside_the_paper(found),
        sections.ablation(found, pictures["ablation"]),
        *([sections.text(found, pictures["text"])] if "text" in pictures else []),
        sections.monosemantic(found, pictures["polysemanticity"]),
        *([sections.labels(found)] if len(found.labels) else []),
    ]
    study = Study(headline(found), _lead(found), parts, _provenance(found), "nhd evaluate")
    render_study(study, out.at("index.html"))


def _lead(found: Evaluation) -> str:
    model = found.provenance["model"]
    seen = found.seen
    dropped = [
        f"{thousands(seen[name])} {why}"
        for name, why in (
            ("rejected", "could not be decoded"),
            ("unlabelled", f"have no field {found.provenance['truth']}"),
            ("unknown", "name no known class"),
        )
        if seen[name]
    ]
    return (
        f"Zero-shot accuracy of {model} on {thousands(seen['images'])} images and "
        f"{thousands(found.provenance['classes'])} classes, of the embedding as it is and of "
        "embeddings put together from less. All of it is computed from one pass over the images."
        + (f" Of {thousands(seen['read'])} images read, {', '.join(dropped)}." if dropped else "")
    )


def _provenance(found: Evaluation) -> dict[str, object]:
    flat = {k: v for k, v in found.provenance.items() if k != "design" and v is not None}
    design = found.provenance["design"]
    return flat | {f"design: {k}": v for k, v in design.items()}
