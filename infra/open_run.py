"""Execute infra/open_run.ipynb and write it back with its outputs, without a trace of the machine.

Needs nbclient, nbformat and ipykernel, and in the given folder the demo study as `demo`:
`bash infra/open_run.sh` sees to both.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_suffix(".ipynb")


def main(folder: str) -> None:
    """Run the cells in order in `folder`; a cell that fails ends it, and nothing is written."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=300,
        record_timing=False,
        resources={"metadata": {"path": folder}},
    )
    client.execute()
    for cell in notebook.cells:  # warnings name files of this machine
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
