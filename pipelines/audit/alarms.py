"""How sure a finding of one audit must be, so that a whole series rarely raises a false alarm."""

from dataclasses import dataclass

from nhd_ops.spending import alpha_of
from pipelines.audit.settings import Settings
from pipelines.errors import UsageError

ROUNDING = 1e-9  # of a sum of alphas, relative


@dataclass(frozen=True)
class Alarms:
    """What one audit may spend of the false alarms promised for its series."""

    number: int
    alpha: float
    """The probability that this audit raises any alarm although nothing changed."""
    kinds: tuple[str, ...]
    """What has a threshold; each takes the same part of alpha."""

    @property
    def each(self) -> float:
        """The part of one kind."""
        return self.alpha / len(self.kinds)


def alarms_of(settings: Settings, number: int, spent: float = 0.0) -> Alarms:
    """What audit `number` of a series may spend; UsageError where too little is left.

    Args:
        spent: the alphas of its other audits. A schedule that was changed on the way could
            otherwise add up to more than was promised.
    """
    plan = settings.schedule
    try:
        alpha = alpha_of(number, plan.audits, plan.false_alarms, plan.spending)
    except ValueError as error:
        raise UsageError(f"{error} (schedule, in the configuration)") from error
    if spent + alpha > plan.false_alarms * (1 + ROUNDING):
        raise UsageError(
            f"the other audits of the series have spent {spent:.3g} of its false_alarms "
            f"({plan.false_alarms:g}), and this one would take {alpha:.3g} more; begin a series in "
            "another 'out' with a new baseline, or promise less: raise schedule.false_alarms"
        )
    return Alarms(number, alpha, kinds_of(settings))


def kinds_of(settings: Settings) -> tuple[str, ...]:
    """What has a threshold that is not off."""
    given = settings.thresholds
    watched = {
        "concepts": _any((given.concepts or {}).values()),
        "labels": bool(settings.labels) and _any((given.labels or {}).values()),
        "pairs": _any(family.limit for family in (given.pairs or {}).values()),
        "auc": given.auc is not None,
        "rejects": given.rejects is not None,
        "missing": given.missing is not None and bool(settings.columns),
    }
    return tuple(kind for kind, on in watched.items() if on)


def _any(limits: object) -> bool:
    return any(limit is not None for limit in limits)  # type: ignore[attr-defined]
