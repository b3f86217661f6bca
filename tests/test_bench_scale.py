"""The measures at RN50x16's size: their runs are real runs, and small ones keep the promises."""

from pathlib import Path

import pytest

from pipelines.bench import child, rn50x16
from pipelines.bench.child import cost
from pipelines.bench.compare import comparing
from pipelines.bench.fit import without_codes
from pipelines.bench.result import table
from pipelines.bench.runs import write_run
from pipelines.errors import Incomplete
from pipelines.io.store import Run


@pytest.mark.slow
def test_a_synthetic_run_holds_what_it_says(tmp_path: Path) -> None:
    run = Run(write_run(str(tmp_path / "run"), 60, seed=0, weights="none"))
    assert run.images(["key"]).num_rows == run.moments().count == 60
    assert run.moments().pairs.mean.numel() == rn50x16.PAIRS


def test_the_peak_of_a_process_is_that_of_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process waits until it was looked at while it had its memory."""
    log, seen, look = tmp_path / "log", tmp_path / "seen", child.peak
    wait = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"

    def peak(pid: int) -> int:
        ready, found = "ready" in log.read_text(), look(pid)
        if ready:
            seen.touch()
        return found

    monkeypatch.setattr(child, "peak", peak)
    costs = []
    for size in (0, 200_000_000):
        seen.unlink(missing_ok=True)
        code = f"held = bytearray({size}); print('ready', flush=True); {wait}"
        costs.append(cost(["-c", code, str(seen)], str(log)))
    small, large = costs
    assert 190e6 < large.peak - small.peak < 210e6
    assert cost(["-c", "import time; time.sleep(0.2)"], str(log)).seconds > 0.2


def test_a_process_that_fails_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="ended with 3"):
        cost(["-c", "raise SystemExit(3)"], str(tmp_path / "log"))


@pytest.mark.slow
@pytest.mark.parametrize("measured", [without_codes, comparing])
def test_fit_and_compare_keep_their_promises(measured: object, tmp_path: Path) -> None:
    results = measured(str(tmp_path), 0, images=600)  # type: ignore[operator]
    print("\n".join(table(results)))
    assert all(result.kept for result in results)
