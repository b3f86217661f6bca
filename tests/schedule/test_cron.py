"""The wrapper for cron: what each exit code of `nhd audit` leads to, in a real shell."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.schedule.scripted import SCHEDULE, calls, command, nhd, path_with

WRAPPER = SCHEDULE / "cron" / "nhd-audit.sh"


def settings(tmp_path: Path, **more: str) -> dict[str, str]:
    notify = command(
        tmp_path / "bin", "notify", f'echo "$1 $2" >> {tmp_path}/told; cat >> {tmp_path}/told'
    )
    return {
        **os.environ,
        "PATH": path_with(tmp_path / "bin"),
        "NHD_AUDIT_STATE": f"{tmp_path}/state",
        "NHD_AUDIT_PAUSE": "0",
        "NHD_AUDIT_NOTIFY": str(notify),
        **more,
    }


def run(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(WRAPPER), f"{tmp_path}/audit.yaml", "--name", "2026-W47"]
    return subprocess.run(
        arguments, env=settings(tmp_path, **more), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def called(tmp_path: Path, times: int) -> None:
    """Wait until nhd was called so often."""
    until = time.monotonic() + 60
    while len(calls(tmp_path / "bin")) < times and time.monotonic() < until:
        time.sleep(0.02)
    assert len(calls(tmp_path / "bin")) == times


def told(tmp_path: Path) -> str:
    path = tmp_path / "told"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("codes", "code", "attempts", "says"),
    [
        ([0], 0, 1, ""),
        ([1], 1, 1, "1 audit {config}: a threshold was crossed"),
        ([2], 2, 1, "2 audit {config}: the configuration is wrong"),
        ([4], 4, 1, "4 audit {config} did not start: another run holds its folder"),
        ([3, 3, 0], 0, 3, ""),
        ([3, 1], 1, 2, "1 audit {config}: a threshold was crossed"),
        ([3, 3, 3, 3, 0], 3, 4, "3 audit {config}: incomplete after 4 attempts"),
        ([137, 0], 0, 2, ""),
    ],
)
def test_an_exit_code_is_passed_on_and_told_if_a_person_should_look(
    tmp_path: Path, codes: list[int], code: int, attempts: int, says: str
) -> None:
    nhd(tmp_path / "bin", codes)
    found = run(tmp_path)
    config = f"{tmp_path}/audit.yaml"
    assert found.returncode == code, found.stderr
    assert found.stdout == "" and found.stderr == ""
    assert told(tmp_path).startswith(says.format(config=config))
    assert bool(told(tmp_path)) == bool(says)
    assert not says or "what nhd says" in told(tmp_path)
    # Each attempt is the same command, so it resumes the same audit.
    assert calls(tmp_path / "bin") == [f"audit --config {config} --name 2026-W47"] * attempts


def test_without_a_notifier_cron_mails_what_is_printed(tmp_path: Path) -> None:
    nhd(tmp_path / "bin", [1, 0])
    crossed = run(tmp_path, NHD_AUDIT_NOTIFY="")
    assert "a threshold was crossed" in crossed.stdout and "what nhd says" in crossed.stdout
    assert run(tmp_path, NHD_AUDIT_NOTIFY="").stdout == ""


def test_a_notifier_that_fails_is_not_the_end_of_the_message(tmp_path: Path) -> None:
    nhd(tmp_path / "bin", [2])
    found = run(tmp_path, NHD_AUDIT_NOTIFY="/nowhere/mail")
    assert found.returncode == 2 and "the configuration is wrong" in found.stdout


def test_two_at_once_are_one_audit(tmp_path: Path) -> None:
    go = tmp_path / "go"
    nhd(tmp_path / "bin", [0, 0, 0], until=go)
    arguments = [str(WRAPPER), f"{tmp_path}/audit.yaml"]
    first = subprocess.Popen(arguments, env=settings(tmp_path))
    called(tmp_path, 1)
    assert run(tmp_path).returncode == 4
    assert "the last one is still running" in told(tmp_path)
    # Another configuration has a lock of its own.
    other = subprocess.Popen([str(WRAPPER), f"{tmp_path}/other.yaml"], env=settings(tmp_path))
    called(tmp_path, 2)
    go.touch()
    assert first.wait(60) == other.wait(60) == 0
    assert run(tmp_path).returncode == 0, "the lock went with its holder"
    assert len(calls(tmp_path / "bin")) == 3


def test_a_signal_reaches_nhd_and_ends_the_attempts(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "calls").write_text("")
    command(
        tmp_path / "bin", "nhd",
        f"trap 'echo committed >> {tmp_path}/bin/calls; exit 3' TERM\n"
        f"echo started >> {tmp_path}/bin/calls\nwhile true; do sleep 0.1; done",
    )  # fmt: skip
    process = subprocess.Popen([str(WRAPPER), "audit.yaml"], env=settings(tmp_path))
    called(tmp_path, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 3
    assert calls(tmp_path / "bin") == ["started", "committed"]


def test_old_logs_go(tmp_path: Path) -> None:
    nhd(tmp_path / "bin", [0] * 4)
    for _ in range(4):
        assert run(tmp_path, NHD_AUDIT_LOGS="2").returncode == 0
    assert len(list((tmp_path / "state").glob("*.log"))) == 2


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    scripts = sorted(SCHEDULE.rglob("*.sh"))
    assert len(scripts) >= 4
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (SCHEDULE / "cron").glob("*@.*"):
        text = unit.read_text().replace("/opt/nhd/.venv/bin/nhd", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    names = ("nhd-audit@web.service", "nhd-audit@web.timer", "nhd-audit-failed@web.service")
    units = [f"{tmp_path}/{name}" for name in names]
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0 and found.stderr == "", found.stderr
