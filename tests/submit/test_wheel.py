"""What is shipped: a wheel of the same bytes every time, which runs from where Ray unpacks it."""

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from pipelines.submit.wheel import wheel

ROOT = Path(__file__).parents[2]


def test_the_wheel_is_the_same_every_time_and_holds_the_package_only() -> None:
    data = wheel()
    assert wheel() == data
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "jobs", "nhd_ops", "pipelines", "nhd",
    }  # fmt: skip
    assert "pipelines/tiny/tiny.safetensors" in names and "jobs/recipes/scenes.yaml" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert len(data) < 10 * 2**20


def test_its_record_is_true() -> None:
    archive = zipfile.ZipFile(io.BytesIO(wheel()))
    [record] = [name for name in archive.namelist() if name.endswith("/RECORD")]
    listed = {row[0]: row[1:] for row in csv.reader(archive.read(record).decode().splitlines())}
    assert set(listed) == set(archive.namelist())
    for name, (digest, size) in listed.items():
        if name != record:
            data = archive.read(name)
            told = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={told}", str(len(data)))


def test_it_runs_from_where_it_is_unpacked(tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(wheel())).extractall(tmp_path / "code")
    code = (
        "import jobs.cli, pipelines, nhd_ops, importlib.metadata as m;"
        "print(jobs.cli.__file__, pipelines.__file__, nhd_ops.__file__, m.version('nhd'));"
        "jobs.cli.main(['audit', '--init', '--config', 'a.yaml'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{tmp_path}/code", "PATH": ""},
    )  # fmt: skip
    first, *_ = done.stdout.splitlines()
    *files, version = first.split()
    assert all(file.startswith(f"{tmp_path}/code/") for file in files) and version
    assert (tmp_path / "a.yaml").read_text().strip()
