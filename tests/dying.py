"""An extractor whose process is killed, with SIGKILL, at a chosen phase of chosen shards."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.extract.settings import Settings
from pipelines.extract.worker import Extractor
from pipelines.io import stream

PHASES = ("read", "decode", "forward", "images", "moments")
"""While a shard is read; an image decoded; a batch computed; after its image file is written;
after its group's moments are, which is before any commit record."""


class Dying(Extractor):
    """The real extractor; a shard named after one of `phases` is deadly there, `times` times."""

    def __init__(
        self, settings: Settings, folder: str, times: int, phases: tuple[str, ...] = PHASES
    ) -> None:
        super().__init__(settings)
        self.folder, self.times, self.phases = Path(folder), times, phases
        self.shard = ""
        read, self.read = stream.samples, 0
        stream.samples = lambda url: self._dying_read(read(url))
        self.transform = self._before("decode", self.transform)
        self.measurer.decomposer.forward = self._before("forward", self.measurer.decomposer.forward)

    def _dying_read(self, samples: Iterator[Any]) -> Iterator[Any]:
        for index, sample in enumerate(samples):
            if index == 3:
                self.maybe_die("read")
            yield sample

    def _before(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any) -> Any:
            self.maybe_die(phase)
            return function(*arguments)

        return dying

    def maybe_die(self, phase: str) -> None:
        """Kill this process if it is time."""
        deaths = list(self.folder.glob(f"{self.shard}.*"))
        if phase in self.phases and self.shard.startswith(phase) and len(deaths) < self.times:
            (self.folder / f"{self.shard}.{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def _shard(self, shard: str, url: str, first_id: int) -> Any:
        self.shard = shard
        found = super()._shard(shard, url, first_id)
        self.maybe_die("images")
        return found

    def _finished(self, *arguments: Any) -> Any:
        found = super()._finished(*arguments)
        self.maybe_die("moments")
        return found
