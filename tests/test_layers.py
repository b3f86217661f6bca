"""Imports go jobs → pipelines → nhd_ops only, Ray is imported late, and files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "nhd_ops": {"pipelines", "jobs", "ray", "pyarrow", "fsspec", "open_clip", "pandas", "sklearn"},
    "pipelines": {"jobs"},
}
FILES = [
    path for layer in ("nhd_ops", "pipelines", "jobs") for path in (ROOT / layer).rglob("*.py")
]


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_no_layer_imports_from_above(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        assert not imported(path) & FORBIDDEN[layer], path


def test_ray_is_imported_in_few_places() -> None:
    found = {path.name for path in FILES if "ray" in imported(path)}
    assert found == {"actors.py", "cluster.py", "metrics.py", "client.py"}


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = "('torch', 'ray', 'open_clip')"
    code = f"import sys, jobs.cli; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 260, "more than one noun?"
    assert ast.get_docstring(ast.parse(text))
