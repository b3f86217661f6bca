"""A YAML value that knows its file and line, so that whatever is wrong is said with both."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from pipelines.errors import UsageError


@dataclass(frozen=True)
class Node:
    """One value of a YAML file."""

    place: str
    """The file, as errors name it."""
    node: yaml.Node | None
    """None for an empty file."""

    @property
    def line(self) -> int:
        """Counted from 1."""
        return self.node.start_mark.line + 1 if self.node is not None else 1

    @property
    def value(self) -> Any:
        """As Python has it."""
        if self.node is None:
            return None
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self.node)
        except yaml.YAMLError as error:
            raise _no_yaml(error, self.place) from error
        finally:
            loader.dispose()

    @property
    def text(self) -> str | None:
        """A single value as it was written, so that `no` is a name; None for anything else."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag == "tag:yaml.org,2002:null":
            return None
        return str(self.node.value)

    @property
    def is_mapping(self) -> bool:
        """Of the form `name: value`."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_sequence(self) -> bool:
        """A list."""
        return isinstance(self.node, yaml.SequenceNode)

    def refuse(self, why: str) -> UsageError:
        """The error for what is wrong here."""
        return UsageError(f"{self.place}, line {self.line}: {why}")

    def mapping(self, what: str, valid: Iterable[str] | None = None) -> dict[str, "Node"]:
        """Name → value; UsageError unless it is such a thing, with known names, each once."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refuse(f"{what} must be of the form 'name: value'")
        known = None if valid is None else tuple(valid)
        found: dict[str, Node] = {}
        for name, value in self.node.value:
            key = Node(self.place, name)
            if not isinstance(name, yaml.ScalarNode):
                raise key.refuse(f"{what} must be of the form 'name: value'")
            if name.value in found:
                raise key.refuse(f"'{name.value}' is given twice")
            if known is not None and name.value not in known:
                more = nearest(str(name.value), known)
                raise key.refuse(f"{what} has no '{name.value}'{more}")
            found[str(name.value)] = Node(self.place, value)
        return found

    def sequence(self) -> list["Node"]:
        """The entries of a list; UsageError unless it is one."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.refuse("a list is needed, each entry after '- '")
        return [Node(self.place, each) for each in self.node.value]

    def find(self, *path: str) -> "Node":
        """What stands at the end of these names, or the last of them that is there."""
        node = self
        for name in path:
            inner = node.mapping("") if node.is_mapping else {}
            if name not in inner:
                break
            node = inner[name]
        return node


def parse(text: str, place: str) -> Node:
    """The value that `text` holds; UsageError where that is no YAML."""
    loader = yaml.SafeLoader(text)
    try:
        return Node(place, loader.get_single_node())
    except yaml.YAMLError as error:
        raise _no_yaml(error, place) from error
    finally:
        loader.dispose()


def nearest(name: str, valid: Iterable[str]) -> str:
    """What to add to the refusal of a name: the one that was meant, or all there are."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names)}"


def _no_yaml(error: yaml.YAMLError, place: str) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    return UsageError(f"{place}, line {line}: no YAML: {getattr(error, 'problem', error)}")
