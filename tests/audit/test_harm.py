"""Series with harmed files or a changed schedule: healed or refused, and never silently wrong."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.audit.series import audit, configure, verdict, write_weeks

TRUTH = b'{"year": 2026, "yellow": false}'


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weeks(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def previous(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series without a reference, of two audits."""
    file = configure(tmp_path_factory.mktemp("previous"), shards, baseline={"previous": True})
    assert [audit(file, week).returncode for week in ("w1", "w2")] == [0, 0]
    return file


@pytest.fixture
def copied(previous: Path, shards: Path, tmp_path: Path) -> Path:
    """Two finished audits, to be harmed."""
    shutil.copytree(previous.parent / "series", tmp_path / "series")
    return configure(tmp_path, shards, baseline={"previous": True})


@pytest.mark.parametrize(
    "gone",
    [
        "index.html", "trend.parquet", "audits/w2/index.html", "audits/w2/verdict.json",
        "audits/w2/report/findings.json", "audits/w2/report/summary.json",
        "audits/w2/report/pairs.parquet", "audits/w2/report/index.html",
    ],
)  # fmt: skip
def test_what_is_gone_is_made_again(gone: str, copied: Path) -> None:
    assert audit(copied, "w2").returncode == 0
    (copied.parent / "series" / gone).unlink()
    found = audit(copied, "w2")
    assert found.returncode == 0, found.stderr
    assert (copied.parent / "series" / gone).exists()


@pytest.mark.parametrize(
    "broken", ["audits/w1/verdict.json", "audits/w2/report/findings.json", "series.json"]
)
def test_a_damaged_file_is_named(broken: str, copied: Path) -> None:
    (copied.parent / "series" / broken).write_text('{"trunc')
    found = audit(copied, "w2")
    assert found.returncode == 2 and f"{broken} is damaged" in found.stderr


def test_a_series_without_its_numbers_is_not_counted_anew(copied: Path) -> None:
    (copied.parent / "series" / "series.json").unlink()
    found = audit(copied, "w2")
    assert found.returncode == 2 and "(w1, w2), but not the series.json" in found.stderr


def test_a_longer_schedule_does_not_spend_what_is_spent(copied: Path, shards: Path) -> None:
    """Two audits of a series planned for two leave nothing, whatever is planned afterwards."""
    alike = {"baseline": {"previous": True}}
    short = configure(copied.parent, shards, **alike, schedule={"audits": 2})
    for week in ("w1", "w2"):
        assert audit(short, week).returncode == 0
    for schedule in ({"audits": 100}, {"spending": "forever"}):
        longer = configure(copied.parent, shards, **alike, schedule=schedule)
        found = audit(longer, "w3")
        assert found.returncode == 2 and "have spent 0.05 of its false_alarms" in found.stderr
    more = {"audits": 4, "false_alarms": 0.1}
    assert audit(configure(copied.parent, shards, **alike, schedule=more), "w3").returncode == 1


def test_an_audit_without_a_baseline_that_is_not_the_first_says_why(
    shards: Path, tmp_path: Path
) -> None:
    file = configure(
        tmp_path, shards, baseline={"previous": True}, input=f"{tmp_path}/{{name}}/*.tar"
    )
    (tmp_path / "w1").mkdir()
    (tmp_path / "w1" / "bad.tar").write_bytes(b"no tar" * 1000)
    assert audit(file, "w1").returncode == 2
    (tmp_path / "w2").symlink_to(shards / "w2")
    assert audit(file, "w2").returncode == 0
    assert "no earlier audit of the series passed" in verdict(file, "w2")["sentence"]


def test_an_audit_is_not_its_own_baseline(copied: Path, shards: Path) -> None:
    own = {"run": "series/audits/w2/run"}
    found = audit(configure(copied.parent, shards, baseline=own), "w2")
    assert found.returncode == 2 and "the run of this audit itself" in found.stderr


def test_a_week_of_rejects_is_an_alarm_and_no_error(copied: Path, shards: Path) -> None:
    """Nothing is left to compare, which is just what a limit on rejects is for."""
    bad = copied.parent / "bad"
    bad.mkdir()
    with tarfile.open(bad / "bad.tar", "w") as archive:
        for i in range(40):
            archive.addfile(tarfile.TarInfo(f"{i:03d}.jpg"))
            truth = tarfile.TarInfo(f"{i:03d}.json")
            truth.size = len(TRUTH)
            archive.addfile(truth, io.BytesIO(TRUTH))
    alike = {"baseline": {"previous": True}, "input": f"{bad}/*.tar"}
    file = configure(copied.parent, shards, **alike, thresholds={"rejects": 0.2})
    for _ in range(2):
        assert audit(file, "w3").returncode == 1
    found = verdict(file, "w3")
    assert [cause["kind"] for cause in found["causes"]] == ["rejects"]
    assert "100.0 % of the samples could not be used" in found["sentence"]
    assert "the 0 images that are left are too few" in found["sentence"]
    unlimited = configure(copied.parent, shards, **alike, thresholds={"rejects": "off"})
    refused = audit(unlimited, "w3")
    assert refused.returncode == 2 and "0 images of 40 samples" in refused.stderr
