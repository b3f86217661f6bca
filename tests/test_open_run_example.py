"""The example notebook still runs, cell by cell, and its kept outputs are of no machine."""

import ast
import getpass
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from pipelines.analyse.fit import FitPlan, fit
from pipelines.extract.job import extract
from pipelines.model_spec import ModelSpec
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES
from tests.conftest import plan

NOTEBOOK = Path(__file__).parent.parent / "infra" / "open_run.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small demo, in its folders; its two runs are one."""
    folder = tmp_path_factory.mktemp("example")
    write_scenes(f"{folder}/scenes", 24, seed=3, per_shard=12)
    given = {"model": ModelSpec("tiny"), "concepts": ("yellow", "car"), "labels": ATTRIBUTES}
    run = folder / "demo" / "baseline"
    extract(plan(f"{folder}/scenes/*.tar", run, columns=("caption", "year"), **given))
    fit(FitPlan(str(run), words="scenes", atoms=4, in_process=True))
    (folder / "demo" / "current").symlink_to(run)
    return folder


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # type: ignore[attr-defined]


def test_every_cell_runs_and_shows_something(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    names: dict[str, Any] = {}
    shown = [run_cell("".join(cell["source"]), names) for cell in CODE]
    assert len(shown) == len(CODE) > 5 and all(repr(value) for value in shown)
    for value, cell in zip(shown, CODE, strict=True):
        kinds = {kind for out in cell["outputs"] for kind in out.get("data", {})}
        assert hasattr(value, "_repr_html_") == ("text/html" in kinds), cell["id"]
    assert names["run"].counts["written"] == 24


def test_the_kept_outputs_are_complete_and_of_no_machine() -> None:
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert all(cell["outputs"] for cell in CODE) and all(not c["metadata"] for c in CELLS)
    kept = "\n".join("".join(lines) for lines in texts(CELLS))
    kept = re.sub(r"base64,[A-Za-z0-9+/=]+", "", kept)
    assert "Traceback" not in kept and '"stderr"' not in NOTEBOOK.read_text()
    assert not re.search(r"(?<![\w.*])/(tmp|home|root|work|usr|var|mnt|Users)\b", kept)
    assert socket.gethostname() not in kept and not re.search(r"20\d\d-\d\d-\d\d", kept)
    assert getpass.getuser() in ("root", "user") or getpass.getuser() not in kept


def texts(value: Any) -> list[str]:
    """All strings in a JSON value."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []
