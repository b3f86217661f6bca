"""Recipes: YAML files that name the commands of a study in order, and what to expect of it.

    title: one line
    download: [{what: a file, size: 6 GB, from: where it is offered}]
    expect: [{what: a number, paper: 70.7, see: where ours stands}]
    steps:
      - extract: {data: "{out}/shards/*.tar", out: "{out}/run", model: RN50x16}

`{source}` and `{out}` stand for the folders that the user gives. Whatever is wrong is said with
its line.
"""

from dataclasses import dataclass
from importlib import resources
from typing import Any

from jobs.yaml.nodes import Node, nearest
from jobs.yaml.nodes import parse as parse_yaml
from pipelines.errors import UsageError
from pipelines.io.reading import read_bytes
from pipelines.io.redaction import redact

KEYS = ("title", "download", "expect", "steps")
NOTES = {"download": ("what", "size", "from"), "expect": ("what", "paper", "see")}


@dataclass(frozen=True)
class Argument:
    """A value as YAML has it, and the line it stands in."""

    value: Any
    line: int


@dataclass(frozen=True)
class Step:
    """One command with its arguments, by the names of the dataclass's fields."""

    command: str
    arguments: dict[str, Argument]
    line: int


@dataclass(frozen=True)
class Recipe:
    """What to run, and notes on what to download and what to expect."""

    place: str
    """The file, as errors name it."""
    title: str
    download: tuple[dict[str, str], ...]
    expect: tuple[dict[str, str], ...]
    steps: tuple[Step, ...]

    def refuse(self, line: int, why: str) -> UsageError:
        """The error for what is wrong in a line."""
        return UsageError(f"{self.place}, line {line}: {why}")


def packaged() -> tuple[str, ...]:
    """The names of the recipes that come with nhd."""
    files = (resources.files("jobs") / "recipes").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def read_recipe(name: str) -> Recipe:
    """A packaged recipe by its name, or any from a YAML file at a path or URL.

    Raises UsageError, with the line, for what is no recipe.
    """
    if name in packaged():
        text = (resources.files("jobs") / "recipes" / f"{name}.yaml").read_text("utf-8")
        return parse(text, f"{name}.yaml")
    if not name.endswith((".yaml", ".yml")):
        raise UsageError(f"there is no recipe '{name}'{nearest(name, packaged())}")
    try:
        text = read_bytes(name).decode("utf-8")
    except Exception as error:  # stores' own errors are no OSError
        why = redact(str(error)) or type(error).__name__
        raise UsageError(f"the recipe {redact(name)} cannot be read: {why}") from error
    return parse(text, name)


def parse(text: str, place: str) -> Recipe:
    """The recipe that `text` holds; `place` names it in errors."""
    root = parse_yaml(text, place)
    top = root.mapping("the recipe", KEYS)
    for key in ("title", "steps"):
        if key not in top:
            raise UsageError(f"{place}, line 1: the recipe has no '{key}'")
    notes = {key: _notes(top.get(key), key) for key in NOTES}
    steps = tuple(_step(node) for node in top["steps"].sequence())
    if not steps:
        raise top["steps"].refuse("the recipe has no steps")
    title = str(top["title"].value)
    return Recipe(place, title, notes["download"], notes["expect"], steps)


def _step(node: Node) -> Step:
    named = node.mapping("a step")
    if len(named) != 1:
        raise node.refuse("a step is one command, as in '- fit: {run: ...}'")
    command, inner = next(iter(named.items()))
    arguments = {
        name.replace("-", "_"): Argument(value.value, value.line)
        for name, value in inner.mapping(f"the arguments of {command}").items()
    }
    return Step(command, arguments, node.line)


def _notes(node: Node | None, key: str) -> tuple[dict[str, str], ...]:
    if node is None:
        return ()
    entries = [entry.mapping(f"'{key}'", NOTES[key]) for entry in node.sequence()]
    return tuple({name: str(value.value) for name, value in entry.items()} for entry in entries)
