"""Hand a finished report over, in one of the formats that other tools read."""

from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.errors import UsageError
from pipelines.export import csv_file, openlineage
from pipelines.export.csv_file import write_csv
from pipelines.export.fiftyone_dataset import write_fiftyone
from pipelines.export.folder import refuse_others
from pipelines.export.mlflow_run import log_to_mlflow
from pipelines.export.openlineage import Receiver, events_of, send_events, write_events
from pipelines.export.report import read_report

Format = Literal["csv", "fiftyone", "mlflow", "openlineage"]


@dataclass(frozen=True)
class ExportPlan:
    """What to hand over, as what, and where to."""

    report: str
    """The folder that `nhd compare` wrote, local or any fsspec URL."""
    format: Format
    out: str | None = None
    """The folder to write; nothing else may be in it. Not for MLflow; for OpenLineage instead of
    the receiver."""
    receiver: Receiver | None = None
    """For OpenLineage."""
    namespace: str = "nhd"
    """Of OpenLineage's job."""
    experiment: str = "nhd"
    """Of MLflow."""

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise UsageError(
                f"there is no format {self.format}; there are {', '.join(get_args(Format))}"
            )
        if self.format in ("csv", "fiftyone") and not self.out:
            raise UsageError(f"--format {self.format} needs --out, the folder to write")
        if self.format == "mlflow" and self.out:
            raise UsageError("--format mlflow takes no --out; MLFLOW_TRACKING_URI says where to")
        if self.format == "openlineage" and not (self.out or self.receiver):
            raise UsageError(
                "--format openlineage needs --out or, in the environment, OPENLINEAGE_URL"
            )


def export(plan: ExportPlan) -> str:
    """Do it; returns one sentence that says what was done. Doing it again changes nothing.

    Raises UsageError where the report or the output is not what it should be, Incomplete where a
    receiver does not take it.
    """
    report = read_report(plan.report)
    out = (plan.out or "").rstrip("/")
    if plan.format == "mlflow":
        return f"MLflow run {log_to_mlflow(report, plan.experiment)} of {plan.experiment}"
    if plan.format == "fiftyone":
        written = write_fiftyone(report, out)
        lost = f"; {written.unread} more are not in their shards any more" if written.unread else ""
        return f"{written.images} images: {out}{lost}"
    if plan.format == "csv":
        refuse_others(out, {csv_file.NAME})
        write_csv(f"{out}/{csv_file.NAME}", report.samples)
        return f"{len(report.samples)} flagged samples: {out}/{csv_file.NAME}"
    events = events_of(report, plan.namespace)
    if not out:
        assert plan.receiver is not None
        send_events(events, plan.receiver)
        return f"{len(events)} events sent"
    refuse_others(out, {openlineage.NAME})
    write_events(events, f"{out}/{openlineage.NAME}")
    return f"{len(events)} events: {out}/{openlineage.NAME}"
