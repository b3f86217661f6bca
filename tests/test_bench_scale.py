"""The measures at RN50x16's size: their runs are real runs, and small ones keep the promises."""

from pathlib import Path

import pytest

from pipelines.bench import rn50x16
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


def test_the_peak_of_a_process_is_that_of_its_memory(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    small = cost(["-c", "import time; time.sleep(1)"], log)
    large = cost(["-c", "import time; x = bytearray(200_000_000); time.sleep(1)"], log)
    assert 190e6 < large.peak - small.peak < 210e6
    assert large.seconds > 1


def test_a_process_that_fails_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="ended with 3"):
        cost(["-c", "raise SystemExit(3)"], str(tmp_path / "log"))


@pytest.mark.slow
@pytest.mark.parametrize("measured", [without_codes, comparing])
def test_fit_and_compare_keep_their_promises(measured: object, tmp_path: Path) -> None:
    results = measured(str(tmp_path), 0, images=600)  # type: ignore[operator]
    print("\n".join(table(results)))
    assert all(result.kept for result in results)
