"""The probe for the batch size stops where larger batches bring nothing, or do not fit."""

import pytest
import torch

from pipelines.extract.batch_size import probed, timed


@pytest.mark.parametrize(
    ("fixed", "most", "expected"),
    [
        (0.0, 10_000, 32),  # no time per batch: nothing to gain
        (0.01, 10_000, 512),  # 100 images' worth: every doubling gains
        (0.001, 10_000, 128),
        (0.01, 200, 128),
        (0.01, 8, 32),
    ],
)
def test_it_stops_where_it_should(fixed: float, most: int, expected: int) -> None:
    def seconds(size: int) -> float:
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fixed + size * 1e-4

    assert probed(seconds) == expected


def test_other_errors_come_out() -> None:
    def broken(size: int) -> float:
        raise RuntimeError("a kernel is missing")

    with pytest.raises(RuntimeError, match="kernel"):
        probed(broken)


def test_the_second_run_is_timed() -> None:
    done: list[int | str] = []
    assert timed(done.append, lambda: done.append("waited"))(7) < 1
    assert done == [7, "waited", 7, "waited"]
