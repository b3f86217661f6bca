"""A YAML mapping as a frozen dataclass: its fields are the keys, their types what fits."""

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from jobs.yaml.fitted import fitted, required
from jobs.yaml.nodes import Node

T = TypeVar("T")
OFF = "off"  # a limit that nothing crosses, or limits that none does


def filled(node: Node, kind: type[T], what: str) -> T:
    """`node` as the dataclass `kind`; `what` names it in errors.

    Raises UsageError, with the line, for keys that are no fields, fields that are missing, and
    values that do not fit.
    """
    hints = get_type_hints(kind)
    given = {
        name: _valued(inner, hints[name], f"'{name}'")
        for name, inner in node.mapping(what, hints).items()
    }
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if required(field) and field.name not in given:
            raise node.refuse(f"{what} needs '{field.name}'")
    return kind(**given)


def _valued(node: Node, kind: Any, what: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return _one_of(node, get_args(kind), what)
    if dataclasses.is_dataclass(kind):
        return filled(node, kind, what)  # type: ignore[arg-type]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict:
        entries = node.mapping(what)
        return {name: _valued(entry, inner[1], f"'{name}'") for name, entry in entries.items()}
    if origin is tuple:
        entries_of = node.sequence() if node.is_sequence else [node]
        return tuple(_valued(entry, inner[0], what) for entry in entries_of)
    return _scalar(node, kind, what)


def _one_of(node: Node, kinds: tuple[Any, ...], what: str) -> Any:
    """Optional values, `off` for a limit, and a mapping in place of a word."""
    options = [kind for kind in kinds if kind is not type(None)]
    optional = len(options) < len(kinds)
    single = not node.is_mapping and not node.is_sequence
    limits = [kind for kind in options if kind is float or _is_dict(kind)]
    if optional and single and (node.text is None or (node.text == OFF and limits)):
        return None
    mappings = [kind for kind in options if dataclasses.is_dataclass(kind) or _is_dict(kind)]
    chosen = mappings if node.is_mapping and mappings else [k for k in options if k not in mappings]
    return _valued(node, (chosen or mappings)[0], what)


def _is_dict(kind: Any) -> bool:
    return get_origin(kind) is dict


def _scalar(node: Node, kind: Any, what: str) -> Any:
    text = node.text
    if text is None:
        more = "; put it in quotes" if node.is_mapping else ""
        raise node.refuse(f"{what} needs a single value{more}")
    try:
        if kind is str:
            return text
        if kind is float:
            return float(text)
        return fitted(node.value, kind)
    except ValueError as error:
        needs = {float: "a number", int: "a whole number", bool: "true or false"}.get(kind)
        why = f"needs {needs}, but is '{text}'" if needs else str(error)
        raise node.refuse(f"{what}{' ' if needs else ': '}{why}") from error
