"""What one audit consists of: its place in the series, its baseline, its lens, and its steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipelines.audit.alarms import Alarms, alarms_of
from pipelines.audit.extraction import Extraction, lens_id
from pipelines.audit.report import too_few
from pipelines.audit.series import Series
from pipelines.audit.settings import Calibration, Settings
from pipelines.audit.step import Facts, Inputs, Step, digest_of_run
from pipelines.errors import UsageError
from pipelines.extract.job import code_version
from pipelines.io.store import Run
from pipelines.io.urls import redact
from pipelines.pages.report import VERSION

NOTES = "done"  # the folder of notes
REPORT = ("index.html", "findings.json", "summary.json", "page.json")
"""What any report must have; one of an older version, without page.json, is made again."""


@dataclass(frozen=True)
class Opposite:
    """The run that an audit is compared with."""

    kind: str
    """`reference`, `run` or `previous`."""
    run: str
    name: str | None = None
    """Of the previous audit."""


@dataclass(frozen=True)
class AuditPlan:
    """One audit, ready to be described or done."""

    settings: Settings
    series: Series
    alarms: Alarms
    opposite: Opposite | None
    """None for the first audit of a series that has no baseline."""
    lens: str | None
    steps: tuple[Step, ...] = ()
    extractions: tuple[tuple[str, Extraction], ...] = ()
    """By the names of their steps."""

    @property
    def run(self) -> str:
        """The run folder of this audit."""
        return self.series.audit(self.settings.name, "run")

    @property
    def report(self) -> str:
        """What `compare` writes."""
        return self.series.audit(self.settings.name, "report")


def plan_of(settings: Settings, redo_changed: bool = False) -> AuditPlan:
    """The plan of an audit; reads the series, writes nothing.

    Raises UsageError where the series has spent its false alarms, or a run or lens is not there.
    """
    series = Series(settings.out)
    number = series.number_of(settings.name)
    opposite, lens = _opposite(settings, series, number), _lens(settings, series)
    plan = AuditPlan(
        settings,
        series,
        alarms_of(settings, number, series.spent(besides=settings.name)),
        opposite,
        lens,
    )
    extractions = tuple(_extractions(plan, redo_changed))
    steps = [_extraction(name, what) for name, what in extractions]
    if settings.calibration:
        made = _steps_of_lens(plan)
        names = tuple(step.name for step in (steps[0], *made))
        steps = [steps[0], *made, *(replace(step, after=names) for step in steps[1:])]
    if opposite is not None:
        steps.append(_comparison(plan, opposite, tuple(step.name for step in steps)))
    return replace(plan, steps=tuple(steps), extractions=extractions)


def _extractions(plan: AuditPlan, redo_changed: bool) -> Iterator[tuple[str, Extraction]]:
    settings, reference = plan.settings, plan.settings.baseline.reference
    if settings.calibration and reference is not None:
        out = plan.series.at("calibration", "run")
        fixed = plan.series.folder.exists("lens", "lens.json")
        what = Extraction(settings, reference, out, None, redo_changed, fixed=fixed)
        yield "extract the reference", what
    if plan.opposite is not None and plan.opposite.kind == "reference" and reference is not None:
        what = Extraction(settings, reference, plan.opposite.run, plan.lens, redo_changed)
        yield "extract the baseline", what
    allowed = settings.allow_failed_shards
    what = Extraction(settings, settings.input, plan.run, plan.lens, redo_changed, allowed)
    yield "extract the input", what


def _opposite(settings: Settings, series: Series, number: int) -> Opposite | None:
    given = settings.baseline
    if given.previous:
        for verdict in reversed(series.verdicts(before=number)):
            if verdict["state"] == "passed":
                name = verdict["name"]
                return Opposite("previous", series.audit(name, "run"), name)
    if given.reference is not None:
        return Opposite("reference", series.at("baseline", "run"))
    if given.run is not None and given.run.rstrip("/") == series.audit(settings.name, "run"):
        raise UsageError(f"baseline.run is the run of this audit itself: {redact(given.run)}")
    return None if given.run is None else Opposite("run", given.run)


def _lens(settings: Settings, series: Series) -> str | None:
    if settings.calibration is not None:
        return series.at("lens")
    if settings.lens == "auto" and settings.baseline.run is not None:
        return _lens_of(settings, settings.baseline.run)
    if settings.fixed_lens is not None:
        lens_id(settings.fixed_lens)  # or there is no such lens
    return settings.fixed_lens


def _lens_of(settings: Settings, run: str) -> str | None:
    """The lens that a baseline was extracted with, if any; it must have the concepts asked for."""
    info = Run(run).info
    url: str | None = info.get("lens_url") if info.get("lens") else None
    texts = tuple(concept["text"] for concept in info["concepts"])
    if url is None and not settings.concepts:
        raise UsageError(
            f"{run} was extracted without a lens, so 'concepts' must say what to watch"
        )
    if url is not None and settings.concepts not in ((), texts):
        raise UsageError(
            f"{run} was extracted with a lens of other concepts ({', '.join(texts)}); leave "
            "'concepts' out, or say 'lens: none'"
        )
    return url


def _extraction(name: str, what: Extraction) -> Step:
    folder = what.out.removeprefix(what.settings.out).strip("/").split("/")[:-1]
    note = (*folder, NOTES, "extract.json")
    return Step(name, note, what.inputs, what.lacking, what.run, check=what.check)


def _steps_of_lens(plan: AuditPlan) -> tuple[Step, Step]:
    """Fit the reference that was extracted without a lens, and calibrate."""
    settings, series = plan.settings, plan.series
    how, run = settings.calibration, series.at("calibration", "run")
    assert how is not None

    def inputs(**more: Any) -> Inputs:
        return {"reference": digest_of_run(run), **more}

    fitted = Step(
        "fit the reference",
        ("calibration", NOTES, "fit.json"),
        partial(inputs, words=how.words),
        lambda: "" if Run(run).exists("fit", "fit.json") else "it is not fitted",
        partial(_fit, settings, how, run),
        ("extract the reference",),
    )
    lens = Step(
        "calibrate the lens",
        ("calibration", NOTES, "lens.json"),
        partial(inputs, words=how.words, candidates=how.candidates),
        lambda: "" if series.folder.exists("lens", "lens.json") else "there is no lens",
        partial(_calibrate, settings, how, run, series.at("lens")),
        ("extract the reference", fitted.name),
    )
    return fitted, lens


def _fit(settings: Settings, how: Calibration, run: str) -> Facts:
    from pipelines.analyse.fit import FitPlan, fit

    fit(FitPlan(run, words=how.words, atoms=0, in_process=settings.run.in_process))
    return {}


def _calibrate(settings: Settings, how: Calibration, run: str, out: str) -> Facts:
    from pipelines.lens.calibrate import CalibratePlan, calibrate

    running = settings.run
    plan = CalibratePlan(
        run=run,
        out=out,
        candidates=how.candidates,
        device=running.device,
        resources=running.resources,
        in_process=running.in_process,
        batch_size=running.batch_size,
        lease=running.lease_timeout,
    )
    return {"lens": calibrate(plan).id}


def _comparison(plan: AuditPlan, opposite: Opposite, after: tuple[str, ...]) -> Step:
    settings = plan.settings

    def inputs() -> Inputs:
        how = settings.compare
        return {
            "baseline": digest_of_run(opposite.run),
            "input": digest_of_run(plan.run),
            "compare": [how.measure, how.floor, how.cluster, how.seed],
            "alpha": plan.alarms.each,
            "code_version": code_version(),
            "page": VERSION,
        }

    note = ("audits", settings.name, NOTES, "compare.json")

    def lacking() -> str:
        if too_few(plan.run):
            return ""
        there = Run(plan.report).names("")
        if not there:
            return "there is no report"
        noted = (plan.series.load(*note) or {}).get("files", [])
        gone = [name for name in sorted({*REPORT, *noted}) if name not in there]
        return f"the report lacks {', '.join(gone)}" if gone else ""

    run = partial(_compare, plan, opposite)
    return Step("compare", note, inputs, lacking, run, after, cluster=False)


def _compare(plan: AuditPlan, opposite: Opposite) -> Facts:
    from pipelines.analyse.compare import ComparePlan, compare

    if too_few(plan.run):
        return {}  # the verdict says so
    how = plan.settings.compare
    given: dict[str, Any] = {} if how.measure == "auto" else {"measure": how.measure}
    given |= {} if how.cluster == "auto" else {"cluster": how.cluster}
    compare(
        ComparePlan(
            out=plan.report,
            baseline=opposite.run,
            current=plan.run,
            alpha=plan.alarms.each,
            floor=how.floor,
            seed=how.seed,
            **given,
        )
    )
    return {"files": Run(plan.report).names("")}
