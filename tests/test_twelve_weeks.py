"""infra/twelve_weeks.py: it sees what is not as expected, and nothing is in a short series."""

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.schedule.scripted import SCHEDULE

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "infra" / "twelve_weeks.py"
NAMES = [f"2026-W{week:02}" for week in range(1, 13)]
SHIFTED = NAMES[8:10]
Found = dict[str, Any]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("twelve_weeks", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_expected() -> Found:
    """Exit codes, verdicts and alarms of twelve weeks as the script wants them."""
    yellow = {"kind": "concept", "text": "yellow", "direction": "up", "since": SHIFTED[0]}
    verdicts = {
        name: {
            "sentence": "",
            "causes": [copy.copy(yellow)] if name in SHIFTED else [],
            "follows": [{"text": "red"}] if name in SHIFTED else [],
        }
        for name in NAMES
    }
    return {
        "codes": {name: int(name in SHIFTED) for name in NAMES},
        "verdicts": verdicts,
        "alarms": {name: name in SHIFTED for name in NAMES},
    }


def unexpected(found: Found) -> list[str]:
    rows = [{"name": n, "concept": "yellow", "alarm": a} for n, a in found["alarms"].items()]
    wrong: list[str] = script().unexpected(
        found["codes"], found["verdicts"], pd.DataFrame(rows), SHIFTED
    )
    return wrong


def _false_alarm(found: Found) -> None:
    found["codes"]["2026-W03"] = 1


def _missed(found: Found) -> None:
    found["codes"]["2026-W09"], found["verdicts"]["2026-W09"]["causes"] = 0, []


def _wrong_cause(found: Found) -> None:
    more = {"kind": "concept", "text": "red", "direction": "down", "since": "2026-W09"}
    found["verdicts"]["2026-W09"]["causes"].append(more)


def _wrong_since(found: Found) -> None:
    found["verdicts"]["2026-W10"]["causes"][0]["since"] = "2026-W10"


def _nothing_follows(found: Found) -> None:
    found["verdicts"]["2026-W09"]["follows"] = [{"text": "car"}]


def _trend_stays(found: Found) -> None:
    found["alarms"]["2026-W11"] = True


def test_a_series_as_expected_is_accepted() -> None:
    assert unexpected(as_expected()) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_false_alarm, "2026-W03: exit code 1, not 0"),
        (_missed, "2026-W09: exit code 0, not 1"),
        (_wrong_cause, "2026-W09: causes are"),
        (_wrong_since, "2026-W10: causes are"),
        (_nothing_follows, "no colour follows"),
        (_trend_stays, "the trend has yellow"),
    ],
)
def test_whatever_is_not_as_expected_is_named(spoil: Callable[[Found], None], says: str) -> None:
    found = as_expected()
    spoil(found)
    assert any(says in line for line in unexpected(found))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_four_weeks_with_a_shift_in_the_third(tmp_path: Path) -> None:
    command = [
        sys.executable, str(SCRIPT), str(tmp_path / "weeks"), "--weeks", "4", "--shift", "3",
        "--reference", "1500", "--size", "700",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Everything is as expected." in first.stdout
    verdict = tmp_path / "weeks" / "audits" / "audits" / "2026-W03" / "verdict.json"
    before = verdict.stat().st_mtime_ns, verdict.read_bytes()
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert again.returncode == 0 and "to do" not in again.stdout
    assert (verdict.stat().st_mtime_ns, verdict.read_bytes()) == before
    filed = subprocess.run(
        [SCHEDULE / "hooks" / "file.sh", tmp_path / "filed"],
        input=before[1], env=os.environ, check=True,
    )  # fmt: skip
    assert filed.returncode == 0
    told = json.loads((tmp_path / "filed" / "2026-W03.json").read_text())
    assert told["state"] == "crossed" and told["causes"][0]["text"] == "yellow"
