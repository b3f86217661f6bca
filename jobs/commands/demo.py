"""`nhd demo`: its arguments, and what it calls."""

from dataclasses import dataclass

from jobs.arguments import Flag
from jobs.terminal import terminal_width


@dataclass(frozen=True)
class Demo:
    """The whole study on generated scenes with the tiny model, in minutes."""

    out: str = "demo"
    """The folder to write to."""
    images: int = 2500
    """Scenes in each of the two datasets."""
    in_process: Flag = False
    """Run without Ray."""

    def __call__(self) -> None:
        from pipelines.demo import demo as run

        run(self.out, self.images, self.in_process, terminal_width())
