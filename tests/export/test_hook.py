"""The hook that exports: fed verdicts as `nhd audit` writes them, with the real `nhd`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "infra" / "schedule" / "hooks" / "export.sh"
pytestmark = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")


def call(verdict: object, out: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [HOOK, "csv", str(out)], input=json.dumps(verdict), env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_an_audit_is_exported_into_a_folder_of_its_own(url: str, tmp_path: Path) -> None:
    done = call({"name": "../2026 W09", "report": url}, tmp_path / "flagged")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "flagged").rglob("*.csv")
    assert written.relative_to(tmp_path / "flagged").parts == ("2026-W09", "samples.csv")


def test_an_audit_without_a_report_is_nothing_to_export(tmp_path: Path) -> None:
    done = call({"name": "2026-W01", "report": None}, tmp_path / "flagged")
    assert done.returncode == 0 and not (tmp_path / "flagged").exists()


@pytest.mark.slow
def test_a_report_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    done = call({"name": "2026-W01", "report": str(tmp_path)}, tmp_path / "flagged")
    assert done.returncode == 2 and "is no report" in done.stderr
    assert call("no object", tmp_path / "flagged").returncode != 0
    assert "has no name" in call({"name": "...", "report": "x"}, tmp_path / "flagged").stderr
