"""What can be wrong with an audit's settings although each value has the right type."""

from collections.abc import Iterator

from jobs.yaml.nodes import nearest
from pipelines.audit.alarms import kinds_of
from pipelines.audit.settings import Family, Limits, Settings
from pipelines.io.urls import redact

Problem = tuple[tuple[str, ...], str]
"""The names that lead to the value in the file, and a sentence."""
DEFAULT = "default"


def problems(settings: Settings) -> Iterator[Problem]:
    """Everything that is wrong, in the order of the file's keys."""
    yield from _names(settings)
    yield from _baseline(settings)
    yield from _lens(settings)
    yield from _numbers(settings)
    yield from _thresholds(settings)
    yield from _notify(settings)


def _names(settings: Settings) -> Iterator[Problem]:
    if not settings.input:
        yield ("input",), "'input' is empty; give a path such as 'shards/{000..009}.tar'"
    of_run = settings.lens == "auto" and settings.baseline.run is not None
    if settings.fixed_lens is None and not settings.concepts and not of_run:
        yield ("concepts",), "'concepts' has no text: there would be nothing to watch"
    if settings.fixed_lens is not None and settings.concepts:
        yield ("concepts",), "a fixed lens brings its own concepts; leave 'concepts' out"
    for key in ("concepts", "labels", "columns"):
        found = getattr(settings, key)
        if any(not name.strip() for name in found):
            yield (key,), f"'{key}' has an empty entry"
        if twice := sorted({name for name in found if found.count(name) > 1}):
            yield (key,), f"'{key}' has '{twice[0]}' twice"


def _baseline(settings: Settings) -> Iterator[Problem]:
    given = settings.baseline
    if given.reference is not None and given.run is not None:
        yield ("baseline", "run"), "'baseline' has a reference and a run; give one of them"
    if given.reference is None and given.run is None and not given.previous:
        yield ("baseline",), "'baseline' needs a reference, a run, or 'previous: true'"


def _lens(settings: Settings) -> Iterator[Problem]:
    has_reference = settings.baseline.reference is not None
    if settings.calibration is not None and not has_reference:
        yield (
            ("lens",),
            "a lens is calibrated on 'baseline.reference', which is not given; give it, the URL "
            "of a lens, or 'lens: none'",
        )
    if settings.calibration is not None and settings.calibration.candidates < 1:
        yield ("lens", "calibrate", "candidates"), "'candidates' must be at least 1"
    if settings.lens == "none" and settings.compare.measure == "grounded":
        yield ("compare", "measure"), "grounded scores need a lens, but 'lens' is none"


def _numbers(settings: Settings) -> Iterator[Problem]:
    schedule = settings.schedule
    if settings.compare.floor < 0:
        yield ("compare", "floor"), "'floor' must not be negative"
    columns = (*settings.columns, *settings.labels, settings.buckets)
    if (cluster := settings.compare.cluster) not in ("auto", "none", "shard", *columns):
        yield (
            ("compare", "cluster"),
            f"'{cluster}' is neither auto, none nor shard, nor among 'columns'",
        )
    if schedule.audits < 1:
        yield ("schedule", "audits"), "'audits' must be at least 1"
    if not 0 < schedule.false_alarms < 1:
        yield ("schedule", "false_alarms"), "'false_alarms' must lie between 0 and 1"
    if not 0 <= settings.allow_failed_shards < 1:
        yield ("allow_failed_shards",), "'allow_failed_shards' is a share, from 0 to below 1"
    for name in ("workers", "batch_size", "decode_threads", "reads_per_node", "cpus_per_worker"):
        if getattr(settings.run, name) < 0:
            yield ("run", name), f"'{name}' must not be negative"
    if (gpus := settings.run.gpus_per_worker) < 0 or (gpus > 1 and gpus % 1):
        yield ("run", "gpus_per_worker"), f"'gpus_per_worker' is 0.5, 1 or 2, not {gpus:g}"


def _notify(settings: Settings) -> Iterator[Problem]:
    given = settings.notify
    if given.timeout <= 0:
        yield ("notify", "timeout"), "'timeout' must be above 0 seconds"
    if given.command and "://" in given.command[0]:
        yield (
            ("notify", "command"),
            f"no program is started from {redact(given.command[0])}; give the path that it has "
            "where the audit runs",
        )


def _thresholds(settings: Settings) -> Iterator[Problem]:
    given = settings.thresholds
    known = settings.concepts or None  # a lens brings its own
    yield from _limits(settings, "concepts", given.concepts, known)
    yield from _limits(settings, "labels", given.labels, settings.labels)
    for name, family in (given.pairs or {}).items():
        yield from _family(settings, name, family)
    if given.auc is not None and not 0.5 < given.auc <= 1:
        yield ("thresholds", "auc"), "'auc' must lie above 0.5, which is chance, and be at most 1"
    for name in ("rejects", "missing"):
        limit = getattr(given, name)
        if limit is not None and not 0 < limit <= 1:
            yield ("thresholds", name), f"'{name}' is a share above 0 and at most 1, or off"
    if not kinds_of(settings):
        yield (
            ("thresholds",),
            "every threshold is off, or has nothing to watch, so the audit could never fail",
        )


def _limits(
    settings: Settings, kind: str, limits: Limits | None, known: tuple[str, ...] | None
) -> Iterator[Problem]:
    for name, limit in (limits or {}).items():
        path = ("thresholds", kind, name)
        if known is not None and name not in (DEFAULT, *known):
            more = nearest(name, (DEFAULT, *known))
            yield path, f"'{name}' is not among the {kind}{more}"
        yield from _floor(settings, path, limit)


def _family(settings: Settings, name: str, family: Family) -> Iterator[Problem]:
    path = ("thresholds", "pairs", name)
    ways = [way for way in ("pairs", "neurons", "heads") if getattr(family, way)]
    if len(ways) != 1:
        yield path, f"the family '{name}' needs one of pairs, neurons and heads"
    yield from _units(settings, name, family)
    yield from _floor(settings, (*path, "limit"), family.limit)


def _floor(settings: Settings, path: tuple[str, ...], limit: float | None) -> Iterator[Problem]:
    floor = settings.compare.floor
    if limit is not None and not limit >= floor:
        yield (
            path,
            f"the limit {limit:g} lies below compare.floor ({floor:g}), and smaller changes do "
            "not count; raise one or lower the other",
        )
    if limit is not None and limit <= 0:
        yield path, "a limit must be above 0, or off"


def _units(settings: Settings, name: str, family: Family) -> Iterator[Problem]:
    """Pairs, neurons and heads that the model does not have."""
    from pipelines.audit.sizes import sizes_of

    sizes = sizes_of(settings.model.name)
    if sizes is None:
        return
    units = {
        "pairs": sizes.heads * sizes.neurons, "neurons": sizes.neurons, "heads": sizes.heads,
    }  # fmt: skip
    for way, count in units.items():
        given = getattr(family, way)
        if strange := [unit for unit in given if not 0 <= unit < count]:
            yield (
                ("thresholds", "pairs", name, way),
                f"{settings.model.name} has {way} 0 to {count - 1}, so no {strange[0]}",
            )
