"""`nhd explain`: sheets are made, their images read again once, pictures and JSON written."""

from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.explain.concept import concept_sheet
from pipelines.explain.fitted import Fitted, open_fitted
from pipelines.explain.neuron import neuron_sheet
from pipelines.explain.pair import pair_sheet, parse_pair
from pipelines.explain.record import record
from pipelines.explain.rows import Sheet
from pipelines.explain.search import best_cases, case_table, lines, search
from pipelines.explain.sheet import draw
from pipelines.explain.views import tiles, views
from pipelines.io.files import atomic_write, write_json, write_parquet
from pipelines.io.urls import without_secrets


@dataclass(frozen=True)
class ExplainPlan:
    """What to explain of which run: exactly one of neuron, pair, concept and search."""

    run: str
    out: str | None = None
    """`explain` in the run folder by default."""
    neuron: int | None = None
    pair: str | None = None
    """`head,neuron`."""
    concept: str | None = None
    search: int | None = None
    """How many of the clearest cases to draw."""

    def __post_init__(self) -> None:
        asked = [x for x in (self.neuron, self.pair, self.concept, self.search) if x is not None]
        if len(asked) != 1:
            raise UsageError("give one of: a neuron, --pair h,n, --concept TEXT, --search")
        if self.search is not None and self.search < 1:
            raise UsageError(f"--search {self.search} draws nothing: give at least 1")
        if self.pair is not None:
            parse_pair(self.pair)

    @property
    def folder(self) -> str:
        """Where everything is written."""
        return (self.out or f"{self.run.rstrip('/')}/explain").rstrip("/")


@dataclass(frozen=True)
class Explained:
    """What was written, and what to say of it."""

    pictures: list[str]
    table: list[str]
    """Lines of the table of cases; empty unless searched."""
    missing: int
    """Tiles without an image."""


def explain(plan: ExplainPlan) -> Explained:
    """Write a picture and a JSON for each thing explained; for a search also the cases.

    Raises UsageError for what does not exist, a run without a fit, and other weights than its own.
    """
    fitted = open_fitted(plan.run)
    table: list[str] = []
    if plan.search is not None:
        sheets, table = _search(fitted, plan)
    else:
        sheets = [_sheet(fitted, plan)]
    seen = views(fitted, sheets)
    pictures, missing = [], 0
    for sheet in sheets:
        rows = [(row, tiles(row, seen)) for row in sheet.rows]
        found = record(sheet, rows, without_secrets(plan.run))
        atomic_write(f"{plan.folder}/{sheet.name}.png", draw(sheet, rows))
        write_json(f"{plan.folder}/{sheet.name}.json", found)
        pictures.append(f"{plan.folder}/{sheet.name}.png")
        missing += found["images_missing"]
    return Explained(pictures, table, missing)


def _sheet(fitted: Fitted, plan: ExplainPlan) -> Sheet:
    if plan.neuron is not None:
        return neuron_sheet(fitted, plan.neuron)
    if plan.pair is not None:
        return pair_sheet(fitted, *parse_pair(plan.pair))
    return concept_sheet(fitted, plan.concept or "")


def _search(fitted: Fitted, plan: ExplainPlan) -> tuple[list[Sheet], list[str]]:
    table = case_table(fitted, search(fitted))
    best = best_cases(fitted, table, plan.search or 0)
    write_parquet(f"{plan.folder}/cases.parquet", table, {"nhd": fitted.info})
    about = {"run": without_secrets(plan.run), "weights_sha256": fitted.info["weights_sha256"]}
    write_json(f"{plan.folder}/cases.json", about | {"cases": best})
    return [neuron_sheet(fitted, row["neuron"], row["heads"]) for row in best], lines(best)
