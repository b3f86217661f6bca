"""A recipe's commands run in order, each once: a note of those that ended well is kept."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import fsspec

from jobs.recipes.recipe import Recipe
from pipelines.io.files import write_json


@dataclass(frozen=True)
class Study:
    """A recipe with its commands, as lines to print and to call."""

    recipe: Recipe
    lines: list[str]
    commands: list[Callable[[], None]]


def run_study(study: Study, note: str) -> None:
    """Call the commands, but for those at the beginning that `note` says have ended well.

    A command that fails ends the study; the next run begins with it. (Not all commands could be
    run twice: scenes that are written again count as changed.)
    """
    print(study.recipe.title, flush=True)
    done = _done(note)
    for i, (line, command) in enumerate(zip(study.lines, study.commands, strict=True)):
        if done[: i + 1] == study.lines[: i + 1]:
            print(f"\n[done] {line}", flush=True)
            continue
        print(f"\n{line}", flush=True)
        command()
        write_json(note, {"title": study.recipe.title, "done": study.lines[: i + 1]})
    print()
    for entry in study.recipe.expect:
        notes = [f"the paper has {entry['paper']}"] if "paper" in entry else []
        notes += [f"ours: {entry['see']}"] if "see" in entry else []
        print(f"{entry.get('what', '')}: {'; '.join(notes)}")
    print(f"Steps that are done are not run again unless {note} is deleted.")


def _done(note: str) -> list[str]:
    fs, path = fsspec.core.url_to_fs(note)
    if not fs.exists(path):
        return []
    found: list[str] = json.loads(fs.cat_file(path))["done"]
    return found
