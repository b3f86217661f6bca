"""A comparison as one run of MLflow: parameters, metrics, and the report as artifacts.

Needs `pip install 'nhd[mlflow]'`; where it goes is MLflow's own matter (MLFLOW_TRACKING_URI).
"""

import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

from pipelines.errors import Incomplete, UsageError
from pipelines.export.report import SIDES, Report
from pipelines.io.files import reason
from pipelines.io.store import Run
from pipelines.io.urls import redact

MOST_METRICS = 500
"""Changed concepts that get a metric of their own, the largest effects."""
LONGEST = 250
"""Characters of a parameter: the least that any store of MLflow takes."""
DIGEST = "nhd.report_sha256"
ARTIFACTS = ("index.html", "findings.json", "summary.json", "samples.parquet", "findings.parquet")


def log_to_mlflow(report: Report, experiment: str) -> str:
    """Log it, once: a report that is there already is left as it is. Returns the run's id.

    Raises UsageError without MLflow, Incomplete where the store does not take it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UsageError(
            "--format mlflow needs MLflow: run pip install 'nhd[mlflow]' first"
        ) from error
    try:
        return _log(MlflowClient(), report, experiment)
    except (MlflowException, OSError) as error:
        raise Incomplete(
            f"MLflow did not take the report ({reason(error)}); run the same command again"
        ) from error


def _log(client: Any, report: Report, experiment: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    found = client.get_experiment_by_name(experiment)
    where = found.experiment_id if found else client.create_experiment(experiment)
    before = client.search_runs([where], f"tags.`{DIGEST}` = '{report.digest}'")
    done = [run for run in before if run.info.status == "FINISHED"]
    if done:
        return str(done[0].info.run_id)
    run = (
        before[0]
        if before
        else client.create_run(where, tags={DIGEST: report.digest}, run_name=redact(report.url))
    )
    name, now = run.info.run_id, run.info.start_time
    client.log_batch(
        name,
        [Metric(key, value, now, 0) for key, value in metrics_of(report).items()],
        [Param(key, value) for key, value in params_of(report).items()],
        [RunTag("mlflow.note.content", f"{report.summary['verdict']}.")],
    )
    with tempfile.TemporaryDirectory() as folder:
        for file in ARTIFACTS:
            with contextlib.suppress(FileNotFoundError):
                (Path(folder) / file).write_bytes(Run(report.url).read(file))
        client.log_artifacts(name, folder, "report")
    client.set_terminated(name, "FINISHED")
    return str(name)


def params_of(report: Report) -> dict[str, str]:
    """What was compared, and how."""
    plain = {name: report.summary[name] for name in ("measure", "alpha", "floor", "seed")}
    plain |= {side: redact(report.summary[side]["url"]) for side in SIDES}
    of_model = ("model", "weights_sha256", "preprocess_id")
    plain |= {name: report.summary["current"].get(name) for name in of_model}
    return {name: str(value)[:LONGEST] for name, value in plain.items() if value is not None}


def metrics_of(report: Report) -> dict[str, float]:
    """The AUC and its interval, d of each changed concept, and counts."""
    ends = {"auc": "effect", "auc_low": "low", "auc_high": "high"}
    found: dict[str, Any] = {name: report.overall[end] for name, end in ends.items()}
    found |= {"concepts_changed": len(report.changed), "flagged": len(report.samples)}
    for side in SIDES:
        counts = report.summary[side]
        found |= {f"{side}_{n}": counts.get(n) for n in ("images", "rejected")}
    found |= {f"d_{f['name']}": f["effect"] for f in report.changed[:MOST_METRICS]}
    return {name: float(value) for name, value in found.items() if value is not None}
