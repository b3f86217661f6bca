"""One audit from its plan to its verdict; run again, it does what is missing or has changed."""

import dataclasses
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from pipelines.audit.hook import deliver
from pipelines.audit.pages import PAGES_VERSION, audit_page, model_in, series_page
from pipelines.audit.plan import NOTES, AuditPlan, plan_of
from pipelines.audit.series import SCHEMA_VERSION, Series, Verdict
from pipelines.audit.settings import Settings
from pipelines.audit.step import digest, finish, state_of
from pipelines.audit.trend import trend_bytes, trend_of
from pipelines.audit.verdict import verdict_of
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.job import code_version
from pipelines.io.urls import redact
from pipelines.run import lock
from pipelines.run.cluster import ray_session


def audit(
    settings: Settings, secrets: Iterable[str] = (), redo_changed: bool = False
) -> tuple[Verdict, str]:
    """Do what is left of an audit; return its verdict, and why nobody could be told, or "".

    Raises UsageError where the configuration does not fit what is there, Incomplete if more shards
    failed than may, Locked if another audit of the series runs.
    """
    for step in plan_of(settings).steps:  # whatever is wrong is said before anything is written
        step.check()
    series = Series(settings.out)
    with lock.held(series.folder, _say):
        series.register(settings.audit, settings.name)
        plan = plan_of(settings, redo_changed)
        config_sha256 = _note_configuration(plan, secrets)
        _run_steps(plan)
        verdict = verdict_of(plan, config_sha256)
        _write(series, verdict)
        return verdict, deliver(series, settings.name, settings.notify, secrets)


def _run_steps(plan: AuditPlan) -> None:
    """What is done is passed over; a verdict is taken back before what it rests on changes."""
    name, changed = plan.settings.name, False
    before = plan.series.verdict(name)
    with ExitStack() as stack:
        for i, step in enumerate(plan.steps):
            state = state_of(plan.series, step)
            place = f"step {i + 1} of {len(plan.steps)}, {step.name}"
            if not state.why:
                _say(f"{place}: done")
                continue
            _say(f"{place}: {state.why}")
            if step.cluster and not plan.settings.run.in_process:
                stack.enter_context(ray_session())
            plan.series.folder.delete("audits", name, "verdict.json")
            try:
                finish(plan.series, step, state)
            except UsageError:
                if before is not None and not changed:  # nothing was done, so it still holds
                    plan.series.save(before, "audits", name, "verdict.json")
                raise
            changed = True


def _write(series: Series, verdict: Verdict) -> None:
    """The verdict, then what is made from all verdicts; nothing is written that is there.

    The audits beside it in the series have links to it, so their pages are made again as well.
    """
    series.save(verdict, "audits", verdict["name"], "verdict.json")
    verdicts = series.verdicts()
    place = [found["name"] for found in verdicts].index(verdict["name"])
    for i in range(max(0, place - 1), min(len(verdicts), place + 2)):
        _write_page(series, verdicts, i)
    trend = trend_of(verdicts)

    def of_series() -> None:
        series.put(trend_bytes(trend), "trend.parquet")
        series.put(series_page(verdicts).encode(), "index.html")

    made_of = {"verdicts": digest(verdicts)}
    _once(series, made_of, (NOTES, "pages.json"), of_series, "trend.parquet", "index.html")


def _write_page(series: Series, verdicts: list[Verdict], i: int) -> None:
    """The page of one audit; it links to the audit after it, and tells only what was before."""
    name, until = verdicts[i]["name"], verdicts[: i + 1]
    following = verdicts[i + 1]["name"] if i + 1 < len(verdicts) else None
    model = series.load("audits", name, "report", "page.json") if verdicts[i]["report"] else None

    def own() -> None:
        page = audit_page(until, following, model_in(model))
        series.put(page.encode(), "audits", name, "index.html")

    made_of = {"verdicts": digest(until), "following": following, "report": digest(model)}
    _once(series, made_of, ("audits", name, NOTES, "page.json"), own, f"audits/{name}/index.html")


def _once(
    series: Series,
    made_of: dict[str, Any],
    note: tuple[str, ...],
    make: Callable[[], None],
    *files: str,
) -> None:
    """Make files unless they are there, and noted to be made of the same."""
    made_of = made_of | {"code_version": code_version(), "pages": PAGES_VERSION}
    if series.load(*note) != made_of or not all(series.folder.exists(file) for file in files):
        make()
        series.save(made_of, *note)


def _note_configuration(plan: AuditPlan, secrets: Iterable[str]) -> str:
    """Write `audit.json`; return the SHA-256 of the configuration in it."""
    settings, alarms = plan.settings, plan.alarms
    place = ("audits", settings.name, "audit.json")
    config = configuration(settings, secrets)
    before = plan.series.load(*place) or {}
    started = before.get("started") or datetime.now(UTC).isoformat(timespec="seconds")
    found = {
        "schema_version": SCHEMA_VERSION,
        "audit": settings.audit,
        "name": settings.name,
        "number": alarms.number,
        "alpha": alarms.alpha,
        "kinds": {kind: alarms.each for kind in alarms.kinds},
        "started": started,
        "code_version": code_version(),
        "config": config,
        "config_sha256": digest(config),
    }
    plan.series.save(found, *place)
    return digest(config)


def configuration(settings: Settings, secrets: Iterable[str]) -> dict[str, Any]:
    """The settings as they may be written down: of the hook only its program."""
    hidden = tuple(secrets)

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shown(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [shown(each) for each in value]
        return redact(value, hidden) if isinstance(value, str) else value

    plain: dict[str, Any] = shown(dataclasses.asdict(settings))
    plain["notify"]["command"] = plain["notify"]["command"][:1]
    return plain


def exit_for(verdict: Verdict, untold: str) -> None:
    """Raise what the exit code is made of: Crossed, or Incomplete if nobody was told."""
    from pipelines.errors import Crossed

    if verdict["state"] == "crossed":
        raise Crossed(f"{verdict['sentence']}{f' ({untold})' if untold else ''}")
    if untold:
        raise Incomplete(f"the audit passed, but {untold}; run the same command to tell it again")


def _say(text: str) -> None:
    print(text, flush=True)
