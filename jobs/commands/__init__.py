"""The commands: one file each, with a frozen dataclass of its arguments that is called to run."""

from typing import Annotated

import tyro

from jobs.commands.atlas import Atlas
from jobs.commands.audit import Audit
from jobs.commands.bench import Bench
from jobs.commands.calibrate import Calibrate
from jobs.commands.compact import Compact
from jobs.commands.compare import Compare
from jobs.commands.demo import Demo
from jobs.commands.evaluate import Evaluate
from jobs.commands.evidence import Evidence
from jobs.commands.explain import Explain
from jobs.commands.export import Export
from jobs.commands.extract import Extract
from jobs.commands.fit import Fit
from jobs.commands.power import Power
from jobs.commands.prepare import Prepare
from jobs.commands.query import Query
from jobs.commands.reproduce import Reproduce
from jobs.commands.scenes import Scenes
from jobs.commands.segment import Segment
from jobs.commands.status import Status
from jobs.commands.submit import Submit
from jobs.commands.train import Train

Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Scenes, tyro.conf.subcommand("scenes")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Extract, tyro.conf.subcommand("extract")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Audit, tyro.conf.subcommand("audit")]
    | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Compact, tyro.conf.subcommand("compact")]
    | Annotated[Query, tyro.conf.subcommand("query")]
    | Annotated[Power, tyro.conf.subcommand("power")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
    | Annotated[Atlas, tyro.conf.subcommand("atlas")]
    | Annotated[Segment, tyro.conf.subcommand("segment")]
    | Annotated[Evidence, tyro.conf.subcommand("evidence")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Status, tyro.conf.subcommand("status")]
    | Annotated[Submit, tyro.conf.subcommand("submit")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Train, tyro.conf.subcommand("train")]
)
