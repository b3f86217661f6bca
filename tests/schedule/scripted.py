"""Commands that stand in for real ones in tests of shell scripts: they end as they are told."""

import os
from collections.abc import Iterable
from pathlib import Path

SCHEDULE = Path(__file__).parents[2] / "infra" / "schedule"


def command(folder: Path, name: str, script: str) -> Path:
    """An executable `name` in `folder` with the body `script`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def nhd(folder: Path, codes: Iterable[int], until: Path | None = None) -> Path:
    """An `nhd` that ends with one of `codes` after another and records its calls in `calls`.

    A code above 128 is a signal that it sends itself; after the last code it ends with 99. It
    works until a file is there.
    """
    folder.mkdir(exist_ok=True)
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    (folder / "calls").write_text("")
    return command(
        folder,
        "nhd",
        f"""printf '%s\\n' "$*" >> {folder}/calls
while [ ! -e {until or folder} ]; do sleep 0.02; done
code=$(head -n 1 {folder}/codes); sed -i 1d {folder}/codes
echo "what nhd says"
[ "${{code:-99}}" -gt 128 ] && kill -$((code - 128)) $$
exit "${{code:-99}}" """,
    )


def calls(folder: Path) -> list[str]:
    """The arguments of each call."""
    return (folder / "calls").read_text().splitlines()


def path_with(folder: Path) -> str:
    """The PATH with `folder` first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
