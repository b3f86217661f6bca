"""Items run under a held lock with a progress bar, for jobs that only keep what comes of them."""

from collections.abc import Callable
from typing import Any

from pipelines.run.lock import Held
from pipelines.run.progress import Progress
from pipelines.run.runner import Pool, Summary, run


def run_watched(
    pool: Pool, items: list[Any], held: Held, keep: Callable[[Any], None] = lambda _: None
) -> list[tuple[Any, Exception]]:
    """Run all items and `keep` what comes of each; return those that failed, with their errors.

    Raises Locked, before anything more is kept, where the lock went to somebody else.
    """
    shown = Progress(len(items))

    def checked(value: Any) -> None:
        held.check()
        keep(value)

    def tick(summary: Summary, totals: list[dict[str, Any]]) -> None:
        held.check()
        shown.update(summary.done, len(summary.failed), totals)

    try:
        return run(pool, items, checked, on_tick=tick, say=shown.say).failed
    finally:
        shown.close()
