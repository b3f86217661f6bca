"""Recipes: YAML files that name the commands of a study in order, and what to expect of it.

    title: one line
    download: [{what: a file, size: 6 GB, from: where it is offered}]
    expect: [{what: a number, paper: 70.7, see: where ours stands}]
    steps:
      - extract: {data: "{out}/shards/*.tar", out: "{out}/run", model: RN50x16}

`{source}` and `{out}` stand for the folders that the user gives. Whatever is wrong is said with
its line.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import fsspec
import yaml

from pipelines.errors import UsageError

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
        return refusal(self.place, line, why)


def refusal(place: str, line: int, why: str) -> UsageError:
    """The error for what is wrong in a line of a recipe."""
    return UsageError(f"{place}, line {line}: {why}")


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
        with fsspec.open(name, "rt", encoding="utf-8") as file:
            return parse(file.read(), name)
    except (OSError, ValueError) as error:
        raise UsageError(f"the recipe {name} cannot be read: {error}") from error


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to add to the refusal of a name: the one that was meant, or all there are."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names)}"


def parse(text: str, place: str) -> Recipe:
    """The recipe that `text` holds; `place` names it in errors."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        top = _mapping(root, place, "the recipe", KEYS)
        for key in ("title", "steps"):
            if key not in top:
                raise refusal(place, 1, f"the recipe has no '{key}'")
        notes = {key: _notes(loader, top.get(key), place, key) for key in NOTES}
        steps = tuple(_step(loader, node, place) for node in _sequence(top["steps"], place))
        title = str(loader.construct_object(top["title"]))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise refusal(place, line, f"no YAML: {getattr(error, 'problem', error)}") from error
    finally:
        loader.dispose()
    if not steps:
        raise refusal(place, _line(top["steps"]), "the recipe has no steps")
    return Recipe(place, title, notes["download"], notes["expect"], steps)


def _step(loader: yaml.SafeLoader, node: yaml.Node, place: str) -> Step:
    named = _mapping(node, place, "a step")
    if len(named) != 1:
        raise refusal(place, _line(node), "a step is one command, as in '- fit: {run: ...}'")
    command, inner = next(iter(named.items()))
    arguments = {
        name.replace("-", "_"): Argument(loader.construct_object(value, deep=True), _line(value))
        for name, value in _mapping(inner, place, f"the arguments of {command}").items()
    }
    return Step(command, arguments, _line(node))


def _notes(
    loader: yaml.SafeLoader, node: yaml.Node | None, place: str, key: str
) -> tuple[dict[str, str], ...]:
    if node is None:
        return ()
    entries = [_mapping(n, place, f"'{key}'", NOTES[key]) for n in _sequence(node, place)]
    return tuple({k: str(loader.construct_object(v)) for k, v in e.items()} for e in entries)


def _mapping(
    node: yaml.Node | None, place: str, what: str, valid: tuple[str, ...] | None = None
) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise refusal(place, _line(node), f"{what} must be of the form 'name: value'")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise refusal(place, _line(key), f"{what} must be of the form 'name: value'")
        if key.value in found:
            raise refusal(place, _line(key), f"'{key.value}' is given twice")
        if valid is not None and key.value not in valid:
            more = nearest(str(key.value), valid)
            raise refusal(place, _line(key), f"{what} has no '{key.value}'{more}")
        found[str(key.value)] = value
    return found


def _sequence(node: yaml.Node, place: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise refusal(place, _line(node), "a list is needed, each entry after '- '")
    found: list[yaml.Node] = node.value
    return found


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node is not None else 1
