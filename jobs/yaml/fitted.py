"""Values of YAML as the types of dataclass fields."""

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin


def fitted(value: Any, kind: Any) -> Any:
    """`value` as the type `kind`; a list becomes a text with commas where a text is wanted.

    Raises ValueError, with what would fit.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        options = [option for option in inner if option is not type(None)]
        return _first_that_fits(value, options)
    if origin is Literal:
        if value in inner:
            return value
        raise ValueError(f"'{value}' is none of {', '.join(map(str, inner))}")
    if origin in (tuple, list) and isinstance(value, list):
        return origin(fitted(each, inner[0]) for each in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str and isinstance(value, list):
        return ",".join(fitted(each, str) for each in value)
    if kind is str and (number or isinstance(value, str)):
        return str(value)
    if kind is float and number:
        return float(value)
    if kind in (bool, int) and type(value) is kind:
        return value
    raise ValueError(f"'{value}' is no {getattr(kind, '__name__', kind)}")


def _first_that_fits(value: Any, options: list[Any]) -> Any:
    for option in options[:-1]:
        try:
            return fitted(value, option)
        except ValueError:
            continue
    return fitted(value, options[-1])


def required(field: dataclasses.Field[Any]) -> bool:
    """Has the field no default?"""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
