"""`nhd status`: its arguments, and what it calls."""

import json
from dataclasses import dataclass

from jobs.arguments import Flag
from pipelines.errors import Incomplete


@dataclass(frozen=True)
class Status:
    """Progress and health of a run folder, from the folder alone."""

    run: str
    """The run folder."""
    json: Flag = False
    """Print JSON."""
    check: Flag = False
    """Also read every file again and compare it with the commit records."""

    def __call__(self) -> None:
        from pipelines.run.status import lines
        from pipelines.run.status import status as look

        found = look(self.run, self.check)
        print(json.dumps(found, indent=2) if self.json else "\n".join(lines(found)))
        if found.get("problems"):
            raise Incomplete(f"{len(found['problems'])} files are not what their records say")
