"""What was simulated, as aligned tables for people and as plain values for machines."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scipy.stats import binomtest

from pipelines.pages.numbers import percent, thousands
from pipelines.power.null import Rate
from pipelines.power.planted import Planted
from pipelines.power.simulate import Simulated

SCHEMA_VERSION = 1
Row = Sequence[str]


def interval(found: int, tried: int) -> tuple[float, float]:
    """95 % interval of a share, exact (Clopper and Pearson, 1934)."""
    low, high = binomtest(found, tried).proportion_ci(method="exact")
    return float(low), float(high)


def kept(rate: Rate) -> bool | None:
    """Can the true share be as low as promised? None where nothing is promised."""
    if rate.promised is None:
        return None
    return interval(rate.alarms, rate.simulated)[0] <= rate.promised


def found_as_promised(cell: Planted) -> bool | None:
    """Can the true power be as high as promised? None where nothing is promised."""
    if cell.promised is None:
        return None
    agree = interval(cell.confirmed, cell.permuted)[1] if cell.permuted else 1.0
    return interval(cell.found, cell.simulated)[1] * agree >= cell.promised


def values(result: Simulated) -> dict[str, Any]:
    """Everything, for JSON."""
    plan, world = result.plan, result.population
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": asdict(plan),
        "population": {
            "images": world.images,
            "measure": world.measure,
            "tested": {kind.name: len(kind.members) for kind in world.kinds},
        },
        "alphas": plan.alphas,
        "false_alarms": [
            rate._asdict() | _share(rate.alarms, rate.simulated) | {"kept": kept(rate)}
            for rate in result.rates
        ],
        "single_tests": [tail._asdict() for tail in result.tails],
        "power": [
            asdict(cell) | _share(cell.found, cell.simulated) | {"kept": found_as_promised(cell)}
            for cell in result.power
        ],
    }


def report(result: Simulated) -> list[str]:
    """Lines of Markdown that are also read well as they are."""
    lines = [*_heading(result), "", "## False alarms where nothing changes", ""]
    lines += table(
        (
            "",
            "tests",
            "images",
            "alpha",
            "floor",
            "alarms",
            "share",
            "95 % interval",
            "promised",
            "by q alone",
        ),
        [_rate_row(rate) for rate in result.rates],
    )
    if result.tails:
        lines += ["", "## Single tests: share of p-values below a level where nothing changes", ""]
        lines += _tails(result)
    lines += ["", "## Power: a shift planted in one concept is found (by formula)", ""]
    return [*lines, *_power(result)]


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    """Aligned Markdown."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [" | ".join(map(str.ljust, row, widths)) for row in (head, *rows)]
    rule = "-|-".join("-" * width for width in widths)
    return [f"| {line} |" for line in lines[:1]] + [f"|-{rule}-|"] + [f"| {x} |" for x in lines[1:]]


def _heading(result: Simulated) -> list[str]:
    plan, world = result.plan, result.population
    tested = ", ".join(f"{len(kind.members)} {kind.name}" for kind in world.kinds)
    copies = f"Every image comes {plan.copies} times within a sample. " if plan.copies > 1 else ""
    if plan.per_shard:
        copies += f"Shards of {plan.per_shard} images are taken as clusters. "
    held = plan.baseline_images or world.images
    return [
        f"# Power of audits of {plan.run}",
        "",
        f"Samples are drawn from {thousands(world.images)} images: {tested}; concepts by "
        f"{world.measure}.",
        f"The baseline has {thousands(held)} images. {copies}Of {plan.audits} audits the last may "
        f"raise a false alarm with {plan.alphas[-1] * plan.kinds:.2g}, each of its {plan.kinds} "
        f"kinds of test with {plan.alphas[-1]:.2g}; the series with {plan.false_alarms:g} "
        f"({plan.spending}).",
    ]


def _rate_row(rate: Rate) -> Row:
    low, high = interval(rate.alarms, rate.simulated)
    by_q = "" if rate.by_q is None else str(rate.by_q)
    promised = "nothing" if rate.promised is None else f"{100 * rate.promised:.2g} %"
    return (
        rate.what,
        rate.kind,
        thousands(rate.images),
        f"{rate.alpha:.2g}",
        f"{rate.floor:g}",
        f"{rate.alarms} of {rate.simulated}",
        percent(rate.alarms / rate.simulated, 2),
        f"{percent(low, 2)} to {percent(high, 2)}",
        promised + ("" if kept(rate) in (None, True) else ": NOT KEPT"),
        by_q,
    )


def _tails(result: Simulated) -> list[str]:
    levels = list(dict.fromkeys(tail.level for tail in result.tails))
    rows: dict[tuple[str, str, str], list[str]] = {}
    for tail in result.tails:
        key = (tail.kind, thousands(tail.images), thousands(tail.tests))
        rows.setdefault(key, []).append(f"{tail.share:.2g}")
    head = ("tests", "images", "in all", *(f"p < {level:g}" for level in levels))
    return table(head, [(*key, *cells) for key, cells in rows.items()])


def _power(result: Simulated) -> list[str]:
    by_size: dict[int, list[Planted]] = {}
    for cell in result.power:
        by_size.setdefault(cell.images, []).append(cell)
    head = ("images", *(f"d = {d:g}" for d in result.plan.effects), "80 % promised at")
    rows = [
        (
            thousands(images),
            *map(_cell, cells[:-1]),
            f"d = {cells[-1].effect:.3f}: {_cell(cells[-1])}",
        )
        for images, cells in by_size.items()
    ]
    return [*table(head, rows), *_notes(result.power)]


def _cell(cell: Planted) -> str:
    text = f"{percent(cell.found / cell.simulated)} ({percent(cell.expected)})"
    if cell.permuted:
        both = cell.found / cell.simulated * cell.confirmed / cell.permuted
        text += f", confirmed {percent(both)}"
    return text + (" NOT KEPT" if found_as_promised(cell) is False else "")


def _notes(cells: list[Planted]) -> list[str]:
    """What was planted beside, and what the search for causes made of it."""
    looked, named, other = (
        sum(getattr(cell, name) for cell in cells) for name in ("attributed", "named", "misnamed")
    )
    lines = [
        "",
        f"Each figure is of {cells[0].simulated} audits, the shift planted in every concept in "
        "turn, up and down.",
    ]
    if permuted := sum(cell.permuted for cell in cells):
        confirmed = sum(cell.confirmed for cell in cells)
        lines.append(
            f"Found means by effect and q, in brackets what the formula expects. Of {permuted} "
            "audits that did, at the shift promised in 80 %, permutations of the sides confirm "
            f"{confirmed}."
        )
    by_effect = {cell.effect: cell.dragged for cell in reversed(cells)}
    dragged = ", ".join(f"{by_effect[d]:.1f} at d = {d:.2g}" for d in sorted(by_effect))
    lines.append(f"With it move by the floor or more, on average, other concepts: {dragged}.")
    if looked:
        lines.append(
            f"Of {looked} audits that found it and went through the search for causes, {named} "
            f"named the planted concept as a cause, {other} another."
        )
    if unplanted := max(cell.unplanted for cell in cells):
        lines.append(f"No weighting of the rows gives the largest shift in {unplanted} cases.")
    return lines


def _share(found: int, tried: int) -> dict[str, float]:
    low, high = interval(found, tried)
    return {"share": found / tried, "low": low, "high": high}
