"""How a series of audits spends its chance of a false alarm: the alpha of every audit.

Audit t may raise a false alarm with probability alpha_t, and the alphas add up to what was promised
of the whole series. By the union bound a series in which nothing changes then raises any alarm with
at most that probability, **whatever the dependence** between its audits. They do depend on each
other: all of a series hold the same baseline against new images, so a baseline that happens to
lie off makes every audit lean the same way, and with "the previous one" as baseline each sample is
used twice. No rule that multiplies (1 - alpha_t), or spends what earlier audits left over, may be
used here. In the same way an audit divides alpha_t evenly among its kinds of test (concepts,
labels, pairs, ...), which see the same images.

What the bound costs, and what was left out, is in nhd_ops/README.md, section 6.
"""

from __future__ import annotations

import math
from typing import Literal

Spending = Literal["even", "forever"]


def alpha_of(audit: int, horizon: int, false_alarms: float, plan: Spending = "even") -> float:
    """The chance of a false alarm that audit number `audit` of a series may take.

    Args:
        audit: its number, from 1 in order of first start.
        horizon: how many audits `even` provides for; `forever` does not look at it.
        false_alarms: the largest probability that a series without change raises any alarm.
        plan: `even` gives each of `horizon` audits the same; `forever` gives 6/(π² t²), which
            adds up to 1 over all t, so early audits see more and the series never ends.

    Raises ValueError for `even` beyond the horizon: all was spent, and anything more would break
    the promise without a sign.
    """
    if audit < 1:
        raise ValueError(f"audit number {audit} is not possible: audits are counted from 1")
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms is {false_alarms}, but must lie between 0 and 1")
    if plan == "forever":
        return false_alarms * 6 / (math.pi * audit) ** 2
    if plan != "even":
        raise ValueError(f"there is no spending plan '{plan}'; choose even or forever")
    if horizon < 1:
        raise ValueError(f"a series of {horizon} audits is not possible: plan at least 1")
    if audit > horizon:
        raise ValueError(
            f"this is audit {audit} of a series planned for {horizon}, whose chance of a false "
            f"alarm ({false_alarms:g}) is spent; start a new series on a new baseline, or plan "
            "more audits and promise less"
        )
    return false_alarms / horizon
