"""`nhd export`: its arguments, and what it calls."""

import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Export:
    """The flagged samples of a report, or what it found, for other tools."""

    report: str
    """The folder that `nhd compare` wrote, or the `report` of an audit."""
    format: Literal["csv", "fiftyone", "mlflow", "openlineage"]
    """`csv`: the flagged samples for a spreadsheet. `fiftyone`: their images too, as a folder that
    FiftyOne imports. `mlflow` (pip install 'nhd[mlflow]'): parameters, metrics and the report, to
    MLFLOW_TRACKING_URI. `openlineage`: events, to --out or else OPENLINEAGE_URL."""
    out: str | None = None
    """The folder to write, local or any fsspec URL; nothing else may be in it."""

    def __call__(self) -> None:
        from pipelines.errors import UsageError
        from pipelines.export.export import ExportPlan
        from pipelines.export.export import export as run
        from pipelines.export.openlineage import Receiver

        told = os.environ.get
        if self.format == "mlflow" and not told("MLFLOW_TRACKING_URI"):
            raise UsageError("--format mlflow needs MLFLOW_TRACKING_URI in the environment")
        if self.format == "openlineage" and told("OPENLINEAGE_DISABLED", "").lower() == "true":
            print("nothing sent, as OPENLINEAGE_DISABLED is true")
            return
        receiver = None
        if url := told("OPENLINEAGE_URL"):
            endpoint = told("OPENLINEAGE_ENDPOINT") or Receiver.endpoint
            receiver = Receiver(url, endpoint, told("OPENLINEAGE_API_KEY"))
        plan = ExportPlan(
            report=self.report,
            format=self.format,
            out=self.out,
            receiver=receiver,
            namespace=told("OPENLINEAGE_NAMESPACE") or ExportPlan.namespace,
            experiment=told("MLFLOW_EXPERIMENT_NAME") or ExportPlan.experiment,
        )
        print(run(plan))
