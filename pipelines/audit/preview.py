"""What an audit would do, in lines for people; nothing is written."""

from nhd_ops.shift import promised_effect
from pipelines.audit.estimate import (
    Estimate,
    Experience,
    bytes_per_row,
    estimate_of,
    experience_of,
)
from pipelines.audit.plan import AuditPlan
from pipelines.audit.report import counts_of
from pipelines.audit.step import state_of
from pipelines.io.urls import redact
from pipelines.pages.numbers import percent


def preview(plan: AuditPlan) -> list[str]:
    """The audit's place in the series, its shards, its steps, what it takes and what it promises.

    Raises UsageError for what the audit itself would refuse before it begins.
    """
    for step in plan.steps:
        step.check()
    known = experience_of(plan.series)
    sizes = {name: estimate_of(what, known) for name, what in plan.extractions}
    place = (
        f"audit {plan.alarms.number} of the series {redact(plan.series.url)}: {plan.settings.name}"
    )
    return [
        place,
        _shards("input", sizes["extract the input"]),
        *_opposite(plan, sizes),
        f"lens: {redact(plan.lens) if plan.lens else 'none, so plain similarity is watched'}",
        "steps:",
        *_steps(plan),
        _time(list(sizes.values()), known),
        _storage(plan, sizes, known),
        *_promise(plan, sizes),
    ]


def _shards(what: str, found: Estimate) -> str:
    images = "an unknown number of images"
    if found.images is not None:
        about = "" if found.exact else "about "
        images = f"{about}{found.images:,} images"
    size = f"{found.bytes / 1e6:,.1f} MB"
    return f"{what}: {found.shards} shards ({size}, {found.done} done), {images}"


def _opposite(plan: AuditPlan, sizes: dict[str, Estimate]) -> list[str]:
    opposite = plan.opposite
    if opposite is None:
        return ["baseline: none yet; this audit will be the baseline of the next"]
    if "extract the baseline" in sizes:
        return [_shards("baseline, the reference", sizes["extract the baseline"])]
    which = f"the audit {opposite.name}" if opposite.name else redact(opposite.run)
    return [f"baseline: {which}, {counts_of(opposite.run)['written']:,} images"]


def _steps(plan: AuditPlan) -> list[str]:
    """A step after one that is to be done is not looked at: what it needs may not be there."""
    lines: list[str] = []
    undone: list[str] = []
    for step in plan.steps:
        first = next((name for name in undone if name in step.after), None)
        why = f"after: {first}" if first else state_of(plan.series, step).why
        lines.append(f"  [to do] {step.name}: {why}" if why else f"  [done]  {step.name}")
        undone += [step.name] if why else []
    verdict = plan.series.verdict(plan.settings.name)
    if undone or verdict is None:
        return [*lines, "  [to do] verdict"]
    return [*lines, f"  [done]  verdict: {verdict['state']}"]


def _time(sizes: list[Estimate], known: Experience) -> str:
    from pipelines.run.estimate import about

    left = [size.left for size in sizes]
    if not any(left) and None not in left:
        return "time: nothing is left to extract"
    if None in left or known.images_per_second is None:
        return "time: unknown, because nothing was extracted in this series yet"
    seconds = sum(one or 0 for one in left) / known.images_per_second
    rate = f"{known.images_per_second:,.0f} images/s, as last time"
    return f"time: {about(seconds)} for {sum(one or 0 for one in left):,} images at {rate}"


def _storage(plan: AuditPlan, sizes: dict[str, Estimate], known: Experience) -> str:
    _, what = plan.extractions[-1]
    row = bytes_per_row(what, known, len(plan.settings.concepts))
    left = [size.left for size in sizes.values()]
    if row is None:
        return "storage: unknown"
    source = "as seen" if known.bytes_per_image is not None else "computed from the model's sizes"
    each = f"{row:,.0f} bytes an image, {source}"
    if None in left:
        return f"storage: {each}"
    return f"storage: {sum(one or 0 for one in left) * row / 1e6:,.1f} MB more ({each})"


def _promise(plan: AuditPlan, sizes: dict[str, Estimate]) -> list[str]:
    schedule, alarms = plan.settings.schedule, plan.alarms
    series = f"{schedule.audits} audits" if schedule.spending == "even" else "audits without end"
    lines = [
        f"false alarms: a series of {series} in which nothing changes raises any alarm with a "
        f"probability of at most {percent(schedule.false_alarms)}; this audit may take "
        f"{alarms.alpha:.2g}, {alarms.each:.2g} for each of: {', '.join(alarms.kinds)}"
    ]
    images = _images(plan, sizes)
    if images is None or "concepts" not in alarms.kinds:
        return [*lines, "detectable effect: unknown before the images are counted"]
    tests = max(1, len(plan.settings.concepts))
    least = promised_effect(*images, tests, alarms.each, plan.settings.compare.floor)
    return [
        *lines,
        f"detectable effect: with {images[0]:,} and {images[1]:,} independent images, a change of "
        f"d = {least:.2f} of one of {tests} concepts is found four times in five",
    ]


def _images(plan: AuditPlan, sizes: dict[str, Estimate]) -> tuple[int, int] | None:
    """Of baseline and input, where both are known."""
    own = sizes["extract the input"].images
    if plan.opposite is None:
        return None
    if "extract the baseline" in sizes:
        other = sizes["extract the baseline"].images
    else:
        other = counts_of(plan.opposite.run)["written"]
    return (other, own) if own and other else None
