"""The ten questions of the page, both in SQL and in pandas, asked of a real run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.tables.database import Database, open_database, select
from tests.tables.conftest import Study

README = Path(__file__).parents[2] / "README.md"
SECTION = README.read_text().split("\n## Queries\n")[1].split("\n## ")[0]
BLOCK = re.compile(r"```(sql|python)\n(.*?)```", re.DOTALL)


def questions() -> dict[str, dict[str, str]]:
    """Heading → language → code."""
    sections = SECTION.split("\n### ")[1:]
    return {s.partition("\n")[0]: {kind: code for kind, code in BLOCK.findall(s)} for s in sections}


@pytest.fixture(scope="module")
def database(study: Study) -> Iterator[Database]:
    found = open_database(*study)
    yield found
    found.connection.close()


def values(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows whose lists can be compared."""
    rows = table.itertuples(index=False, name=None)
    return [tuple(list(v) if isinstance(v, np.ndarray) else v for v in row) for row in rows]


def test_there_are_ten() -> None:
    assert [q.partition(".")[0] for q in questions()] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize("question", questions())
def test_sql_and_pandas_give_the_same_answer(
    question: str, database: Database, study: Study
) -> None:
    code = questions()[question]
    by_sql = select(database, code["sql"]).read_all().to_pandas()
    names = {"run": study.run, "baseline": study.baseline, "series": study.series}
    first = BLOCK.findall(SECTION)[0][1]
    imports = "\n".join(line for line in first.splitlines() if line.startswith("import"))
    exec(f"{imports}\n{code['python']}", names)
    by_pandas = names["answer"]
    assert isinstance(by_pandas, pd.DataFrame)
    assert list(by_sql.columns) == list(by_pandas.columns)
    assert len(by_sql) > 0
    for ours, theirs in zip(values(by_sql), values(by_pandas), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a == (pytest.approx(b, rel=1e-4) if isinstance(a, float) else b)
