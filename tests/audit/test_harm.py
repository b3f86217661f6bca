"""Series with harmed files or a changed schedule: healed or refused, and never silently wrong."""

import shutil
from pathlib import Path

import pytest

from tests.audit.series import audit, configure, verdict, write_weeks


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
