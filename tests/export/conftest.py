"""One report for all files of this folder."""

from pathlib import Path

import pytest

from pipelines.export.report import Report, read_report
from tests.export.reports import make_report


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="session")
def url(folder: Path) -> str:
    return make_report(folder)


@pytest.fixture(scope="session")
def report(url: str) -> Report:
    return read_report(url)
