"""What is said about time before work is done."""

import pytest
import torch

from pipelines.run.cluster import parallel
from pipelines.run.estimate import about, seconds, timed


def test_blocks_are_done_in_rounds_of_as_many_as_there_are_workers() -> None:
    assert seconds([8, 8, 8, 2], 0.5, workers=1) == 13
    assert seconds([8, 8, 8, 2], 0.5, workers=2) == 8
    assert seconds([8, 8, 8, 2], 0.5, workers=100) == 4
    assert seconds([], 0.5, workers=2) == 0


@pytest.mark.parametrize(
    ("spent", "said"),
    [(0.2, "1 s"), (100, "100 s"), (200, "3.3 minutes"), (2460, "41 minutes"), (9000, "2.5 hours")],
)
def test_durations_are_said_roughly(spent: float, said: str) -> None:
    assert about(spent) == f"about {said}"


def test_a_probe_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    threads, spent = timed(torch.get_num_threads, 1)
    assert threads == 1 and spent >= 0
    assert torch.get_num_threads() == before


def test_the_estimate_is_made_before_the_work() -> None:
    said: list[str] = []

    def work(shared: None, item: int) -> int:
        said.append(f"work {item}")
        return item

    parallel(work, [1, 2], in_process=True, starting=lambda workers: said.append(f"{workers}"))
    assert said == ["1", "work 1", "work 2"]
