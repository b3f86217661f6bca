"""The folder of a job's own Ray: it is gone with its job, and nobody removes another's."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run import session
from pipelines.run.session import OWNER, PREFIX, session_folder, sweep

DEAD = """
import os, sys
from pathlib import Path
from pipelines.run import session
session.PLACE = Path(sys.argv[1])
with session.session_folder() as folder:
    (folder / "r").mkdir()
    (folder / "r" / "log").write_text("x")
    os._exit(0)  # as it would be after SIGKILL
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders are made."""
    monkeypatch.setattr(session, "PLACE", tmp_path)
    return tmp_path


def test_a_folder_is_private_and_ends_with_its_job(place: Path) -> None:
    with session_folder() as folder:
        assert folder.parent == place and folder.stat().st_mode & 0o77 == 0
        (folder / "r" / "session").mkdir(parents=True)
    assert not list(place.iterdir())


def test_what_the_dead_left_is_removed_and_nothing_else(place: Path) -> None:
    (place / f"{PREFIX}of-older-versions").mkdir()
    (place / "other").mkdir()
    (place / "other" / OWNER).touch()
    with session_folder() as folder:
        (folder / "r").mkdir()
        subprocess.run([sys.executable, "-c", DEAD, str(place)], check=True)
        [left] = set(place.glob(f"{PREFIX}*")) - {folder, place / f"{PREFIX}of-older-versions"}
        assert (left / "r" / "log").exists()
        sweep()
        assert not left.exists() and (folder / "r").exists()
    assert {path.name for path in place.iterdir()} == {f"{PREFIX}of-older-versions", "other"}
