"""Queries over a store that is away now and then: every request waits, and the answer is whole."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from pipelines.errors import Incomplete
from pipelines.io import patience
from pipelines.tables.database import open_database, select
from pipelines.tables.patient import Patient
from tests import s3_server
from tests.s3_server import Server
from tests.tables.conftest import Study

s3_process, s3 = s3_server.s3_process, s3_server.s3
ASKED = "SELECT count(*), sum(coefficient), min(key) FROM firings JOIN images USING (shard, key)"


class Failing(DirFileSystem):
    """A folder as a store that carries every request out at the second try only, or never."""

    protocol = "failing"
    cachable = False

    def __init__(self, folder: str, ever: bool = True) -> None:
        super().__init__(folder, LocalFileSystem(skip_instance_cache=True))
        self.ever, self.tries, self.lock = ever, Counter[Any](), threading.Lock()

    def told(self, *request: Any) -> None:
        with self.lock:
            self.tries[request] += 1
            if not self.ever or self.tries[request] % 2:
                raise ConnectionResetError(f"{request} was cut off")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("failing://")

    def info(self, path: str, **how: Any) -> Any:
        self.told("info", path)
        return super().info(self._strip_protocol(path), **how)

    def glob(self, path: str, **how: Any) -> Any:
        self.told("glob", path)
        return super().glob(self._strip_protocol(path), **how)

    def open(self, path: str, mode: str = "rb", *_: Any, **how: Any) -> Any:
        self.told("open", path)
        return Ranges(self, self._strip_protocol(path), mode, size=self.info_of(path)["size"])

    def info_of(self, path: str) -> Any:
        return super().info(self._strip_protocol(path))


class Ranges(AbstractBufferedFile):  # type: ignore[misc]
    """Its bytes, range by range."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.told("range", self.path, start, end)
        with open(f"{self.fs.path}/{self.path}", "rb") as file:
            file.seek(start)
            return file.read(end - start)


@pytest.fixture
def hasty() -> Iterator[None]:
    with mock.patch.object(patience, "PAUSES", (0.001, 0.01)):
        yield


@pytest.mark.usefixtures("hasty")
def test_duckdb_reads_all_of_a_store_of_which_every_request_fails_once(study: Study) -> None:
    file = next(Path(study.run, "tables").glob("images-*.parquet"))
    asked = "SELECT count(*), sum(year), sum(list_sum(coefficients)) FROM read_parquet('{}')"
    store, database = Failing(str(file.parent)), duckdb.connect()
    database.register_filesystem(Patient(store))
    found = database.execute(asked.format(f"failing://{file.name}")).fetchall()
    assert found == database.execute(asked.format(file)).fetchall()
    kinds = {request[0] for request, tries in store.tries.items() if tries > 1}
    assert kinds == {"glob", "info", "open", "range"}


@pytest.mark.usefixtures("hasty")
def test_a_store_that_stays_away_is_not_taken_for_an_empty_one(study: Study) -> None:
    away = Patient(Failing(study.run, ever=False))
    with mock.patch.dict("os.environ", {patience.VARIABLE: "0.05"}):
        away.seconds = 0.05
        with pytest.raises(ConnectionResetError):
            away.exists("failing://run.json")
    assert not Patient(Failing(study.run)).exists("failing://nothing.json")


@pytest.mark.usefixtures("hasty")
def test_what_a_store_says_is_one_sentence_and_no_fault_of_the_query(study: Study) -> None:
    database = open_database(study.run)
    broken = duckdb.connect()
    broken.register_filesystem(Failing(study.run, ever=False))
    with pytest.raises(Incomplete, match="cut off\\); ask again") as raised:
        select(database._replace(connection=broken), "FROM read_parquet('failing://a.parquet')")
    assert "Traceback" not in str(raised.value) and "LINE" not in str(raised.value)
    database.connection.close()


@pytest.mark.slow
def test_a_query_goes_on_where_the_store_was_away(s3: Server, study: Study) -> None:
    run = f"{s3.bucket()}/run"
    truth = select(open_database(study.run), ASKED).read_all()
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1", NHD_PATIENCE="30"):
        fsspec.filesystem("s3").put(study.run, run, recursive=True)
        database = open_database(run)
        s3.set_rate(0.0, away=6.0)
        assert select(database, ASKED).read_all() == truth
        with patience.waiting(1.0):
            database = open_database(run)
        s3.set_rate(0.0, away=600.0)
        with pytest.raises(Incomplete, match="ask again") as raised:
            select(database, ASKED).read_all()
        assert "Traceback" not in str(raised.value) and "\n" not in str(raised.value)
        s3.set_rate(0.0)
