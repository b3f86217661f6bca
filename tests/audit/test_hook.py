"""The command that is told: exactly the verdict, once, with its answer kept and no secret in it."""

import json
import time
from pathlib import Path

import pytest

from pipelines.audit.hook import deliver
from pipelines.audit.job import configuration, exit_for
from pipelines.audit.series import Series
from pipelines.audit.settings import Notify, Settings
from pipelines.errors import Crossed, Incomplete
from pipelines.io.files import write_json

SECRET = "s3cret-of-the-environment"


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """One audit that crossed a limit."""
    found = Series(str(tmp_path / "series"))
    write_json(found.audit("w1", "verdict.json"), {"state": "crossed", "sentence": "é grew"})
    return found


def shell(script: str, *words: str, **more: object) -> Notify:
    return Notify(("sh", "-c", script, "sh", *words), **more)  # type: ignore[arg-type]


def runs(pid: str) -> bool:
    """Whether a process lives; a dead one may wait for whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kept(series: Series) -> dict[str, object]:
    found: dict[str, object] = series.load("audits", "w1", "hook.json")
    return found


def test_a_verdict_is_delivered_once_unless_it_changes(series: Series, tmp_path: Path) -> None:
    told = tmp_path / "told"
    notify = shell('cat >> "$1"; echo thanks', str(told))
    assert deliver(series, "w1", notify, ()) == ""
    verdict = series.folder.read("audits", "w1", "verdict.json")
    assert told.read_bytes() == verdict
    assert kept(series)["exit_code"] == 0 and kept(series)["last_lines"] == ["thanks"]
    assert deliver(series, "w1", notify, ()) == "" and told.read_bytes() == verdict
    series.save({"state": "crossed", "sentence": "other"}, "audits", "w1", "verdict.json")
    deliver(series, "w1", notify, ())
    assert told.read_bytes() == verdict + series.folder.read("audits", "w1", "verdict.json")


def test_a_command_that_failed_is_called_again(series: Series, tmp_path: Path) -> None:
    notify = shell(
        'echo x >> "$1"; echo no >&2; test -e "$2"', str(tmp_path / "n"), f"{tmp_path}/ok"
    )
    assert deliver(series, "w1", notify, ()) == "sh ended with 1"
    assert kept(series)["last_lines"] == ["no"] and kept(series)["failed"] == "sh ended with 1"
    (tmp_path / "ok").touch()
    assert deliver(series, "w1", notify, ()) == ""
    assert deliver(series, "w1", notify, ()) == ""
    assert (tmp_path / "n").read_text() == "x\nx\n"


def test_a_command_that_hangs_is_ended_with_its_children(series: Series, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = 'sleep 600 & echo waiting; echo $! > "$1"; sleep 600'
    for seconds in (0.3, 3.0, 30.0):  # it must have begun, which takes a while at times
        why = deliver(series, "w1", shell(script, str(child), timeout=seconds), ())
        assert f"did not end within {seconds:g} s" in why
        if child.exists() and child.read_text():
            break
    assert kept(series)["exit_code"] is None and kept(series)["last_lines"] == ["waiting"]
    until = time.monotonic() + 60
    while runs(child.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not runs(child.read_text().strip())


def test_a_command_that_reads_nothing_or_is_not_there(series: Series) -> None:
    assert deliver(series, "w1", Notify(("true",)), ()) == ""
    series.save({"state": "crossed", "sentence": "x"}, "audits", "w1", "verdict.json")
    assert "could not be started" in deliver(series, "w1", Notify(("/no/such",)), ())


def test_those_who_want_failures_only_are_not_told_of_others(series: Series) -> None:
    series.save({"state": "passed", "sentence": ""}, "audits", "w1", "verdict.json")
    assert deliver(series, "w1", Notify(("false",), when="crossed"), ()) == ""
    assert not series.folder.exists("audits", "w1", "hook.json")
    assert deliver(series, "w1", Notify(("false",)), ()) == "false ended with 1"


def test_secrets_of_the_environment_stay_out_of_the_files(series: Series) -> None:
    deliver(series, "w1", shell(f"echo token {SECRET}"), (SECRET,))
    assert kept(series)["last_lines"] == ["token ***"]
    notify = Notify(("curl", "https://hooks/T0/B0/abcdef"))
    given = Settings("t", "s3://me:pa55@b/o", f"https://h/{SECRET}/a.tar", notify=notify)
    text = json.dumps(configuration(given, (SECRET,)))
    for hidden in (SECRET, "pa55", "abcdef"):
        assert hidden not in text


def test_a_failing_command_never_hides_the_verdict() -> None:
    with pytest.raises(Crossed, match=r"it grew \(sh ended with 1\)"):
        exit_for({"state": "crossed", "sentence": "it grew"}, "sh ended with 1")
    with pytest.raises(Incomplete, match="passed, but sh ended with 1; run the same command"):
        exit_for({"state": "passed", "sentence": ""}, "sh ended with 1")
    exit_for({"state": "passed", "sentence": ""}, "")
