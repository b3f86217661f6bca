"""Steps of a recipe as the commands they name: dataclasses filled in, and their command lines."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from jobs.recipes.recipe import Recipe, Step
from jobs.yaml.fitted import fitted, required
from jobs.yaml.nodes import nearest

WEIGHTS = ("model", "pretrained", "checkpoint")


def commands() -> dict[str, type]:
    """Name → dataclass of every nhd command; `reproduce` itself is no step."""
    from jobs.commands import Command

    named = [get_args(member) for member in get_args(Command)]
    return {mark.name: kind for kind, mark in named if mark.name != "reproduce"}


def build(
    recipe: Recipe, step: Step, places: Mapping[str, str | None], chosen: Mapping[str, Any]
) -> Callable[[], None]:
    """The command of a step, ready to be called.

    Args:
        places: what `{source}` and `{out}` stand for; None where the user gave nothing.
        chosen: fields that the user sets, in every command that has them. Whoever chooses other
            weights chooses all three of WEIGHTS, so the recipe's are forgotten then.

    Raises UsageError with the line for commands and fields that do not exist, values that do not
    fit, and fields that are missing.
    """
    known = commands()
    if step.command not in known:
        more = nearest(step.command, known)
        raise recipe.refuse(step.line, f"nhd has no command '{step.command}'{more}")
    kind = known[step.command]
    fields = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, argument in step.arguments.items():
        if name not in fields:
            more = nearest(name, fields)
            raise recipe.refuse(argument.line, f"nhd {step.command} has no '{name}'{more}")
        try:
            values[name] = fitted(_filled(argument.value, places), fields[name])
        except ValueError as error:
            raise recipe.refuse(argument.line, f"'{name}' of {step.command}: {error}") from error
    if any(name in chosen for name in WEIGHTS):
        values = {k: v for k, v in values.items() if k not in ("pretrained", "checkpoint")}
    values |= {name: value for name, value in chosen.items() if name in fields}
    for field in dataclasses.fields(kind):
        if required(field) and field.name not in values:
            raise recipe.refuse(step.line, f"nhd {step.command} needs '{field.name}'")
    command: Callable[[], None] = kind(**values)
    return command


def _filled(value: Any, places: Mapping[str, str | None]) -> Any:
    if isinstance(value, list):
        return [_filled(each, places) for each in value]
    if not isinstance(value, str):
        return value
    for name, place in places.items():
        if f"{{{name}}}" in value and place is None:
            raise ValueError(f"the recipe needs --{name}")
        value = value.replace(f"{{{name}}}", place or "")
    return value


def command_line(command: Any) -> list[str]:
    """The words after `nhd` that give this command; fields left at their defaults are not said."""
    kind = type(command)
    name = next(name for name, known in commands().items() if known is kind)
    hints = get_type_hints(kind, include_extras=True)
    positional: list[str] = []
    flags: list[str] = []
    for field in dataclasses.fields(kind):
        value = getattr(command, field.name)
        if not required(field) and value == _default(field):
            continue
        if _is_positional(hints[field.name]):
            positional += _words(value)
        else:
            flags += _flag(field.name.replace("_", "-"), value)
    return [name, *positional, *flags]


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _is_positional(hint: Any) -> bool:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return get_args(tyro.conf.Positional[int])[1] in marks


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    words = _words(value)
    if len(words) == 1 and words[0].startswith("-"):
        return [f"--{name}={words[0]}"]
    return [f"--{name}", *words]


def _words(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, tuple | list) else [str(value)]
