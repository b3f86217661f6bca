"""The lock of a run folder: wherever a stop falls, nothing of the stopped run stays."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pipelines.io.store import Run
from pipelines.run import holder, lock


def hold(folder: Path, stop_at: int) -> int:
    """Take the lock and let go, stopped at the nth line of `lock.py`; the lines that were seen."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != lock.__file__ or frame.f_code.co_name in (
            "release",
            "_beat",
        ):
            return None
        if event == "line":
            seen += 1
            if seen == stop_at:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        with lock.held(Run(str(folder)), print):
            sys.settrace(None)
    finally:
        sys.settrace(None)
    return seen


def test_a_stop_at_any_line_of_taking_it_leaves_no_name_behind(tmp_path: Path) -> None:
    lines = hold(tmp_path / "whole", 0)
    assert lines > 20
    for line in range(1, lines + 1):
        folder = tmp_path / str(line)
        with pytest.raises(KeyboardInterrupt):
            hold(folder, line)
        assert holder.read(Run(str(folder))) is None
        hold(folder, 0)
        assert not (folder / holder.NAME).exists()
