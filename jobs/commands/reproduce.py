"""`nhd reproduce`: its arguments, and what it calls."""

import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import tyro

from jobs.arguments import Flag


@dataclass(frozen=True)
class Reproduce:
    """A study from a recipe: commands in order, from the download to the tables."""

    recipe: tyro.conf.Positional[str]
    """`scenes` (needs no download), `imagenet`, `context59`, `cars`, `ade20k`, `coco_stuff`, or a
    YAML file of your own."""
    out: str
    """Where everything goes. Running again does what is missing."""
    source: str | None = None
    """The local folder that the download was unpacked in."""
    model: str | None = None
    """Another model than the recipe's, in every step."""
    pretrained: str | None = None
    """Other weights than the recipe's: open_clip's tag, or `none`."""
    checkpoint: str | None = None
    """Weights from a file."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """Where models run."""
    limit: int | None = None
    """Take only so many images of the dataset."""
    in_process: Flag = False
    """Run here, without Ray."""
    dry_run: Flag = False
    """Print the commands, to be run by hand, and do nothing."""

    def __call__(self) -> None:
        from jobs.recipes.recipe import read_recipe
        from jobs.recipes.steps import build, command_line
        from jobs.recipes.study import Study, run_study
        from pipelines.errors import UsageError

        recipe = read_recipe(self.recipe)
        places = {"source": self.source, "out": self.out.rstrip("/")}
        used = any("{source}" in str(a.value) for s in recipe.steps for a in s.arguments.values())
        if self.source is not None and not used:
            raise UsageError(f"the recipe {self.recipe} reads no download; leave --source out")
        if self.limit is not None and all(s.command != "prepare" for s in recipe.steps):
            raise UsageError(f"the recipe {self.recipe} prepares no dataset; leave --limit out")
        built = [build(recipe, step, places, self._chosen()) for step in recipe.steps]
        lines = [shlex.join(["nhd", *command_line(command)]) for command in built]
        if self.dry_run:
            print(f"# {recipe.title}", *lines, sep="\n")
            return
        with nullcontext() if self.in_process else _ray():
            run_study(Study(recipe, lines, built), f"{places['out']}/reproduce.json")

    def _chosen(self) -> dict[str, Any]:
        names = ("model", "pretrained", "checkpoint", "device", "limit")
        given = {name: getattr(self, name) for name in names}
        found = {name: value for name, value in given.items() if value is not None}
        return found | ({"in_process": True} if self.in_process else {})


def _ray() -> Any:
    from pipelines.run.cluster import ray_session

    return ray_session()
