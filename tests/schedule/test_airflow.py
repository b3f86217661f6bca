"""The Airflow DAG. Airflow is no part of this project: its runs need AIRFLOW_PYTHON.

    AIRFLOW_PYTHON=/an/airflow/bin/python .venv/bin/pytest -n 0 tests/schedule/test_airflow.py

where that environment has apache-airflow 3 and apache-airflow-providers-standard.
"""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.schedule.scripted import SCHEDULE, calls, nhd

DAG = SCHEDULE / "airflow" / "nhd_audit.py"
RUN = """
import json, nhd_audit
from datetime import datetime, timedelta, timezone
for task in nhd_audit.dag.tasks:
    task.retry_delay = timedelta(seconds=0)
run = nhd_audit.dag.test(logical_date=datetime(2026, 11, 16, 4, 17, tzinfo=timezone.utc))
states = {found.task_id: str(found.state) for found in run.get_task_instances()}
print("STATES", json.dumps({"run": str(run.state), **states}))
"""


def keywords(call: ast.Call) -> dict[str, object]:
    return {
        k.arg: ast.literal_eval(k.value)
        for k in call.keywords
        if k.arg and isinstance(k.value, ast.Constant)
    }


def test_the_dag_compiles_and_never_runs_twice_at_once() -> None:
    calls_of = [n for n in ast.walk(ast.parse(DAG.read_text())) if isinstance(n, ast.Call)]
    by_name = {
        keywords(c).get("task_id") or keywords(c).get("dag_id"): keywords(c) for c in calls_of
    }
    assert by_name["nhd_audit"]["max_active_runs"] == 1
    assert by_name["audit"]["skip_on_exit_code"] == 4 and by_name["audit"]["retries"] == 3
    assert by_name["crossed"]["retries"] == 0


@pytest.mark.skipif("AIRFLOW_PYTHON" not in os.environ, reason="AIRFLOW_PYTHON is not set")
@pytest.mark.parametrize(
    ("codes", "attempts", "states"),
    [
        ([0], 1, {"audit": "success", "passed": "success", "crossed": "skipped", "run": "success"}),
        ([1], 1, {"audit": "success", "passed": "skipped", "crossed": "failed", "run": "failed"}),
        ([2], 1, {"audit": "success", "verdict": "failed", "run": "failed"}),
        ([4], 1, {"audit": "skipped", "crossed": "skipped", "run": "success"}),
        ([3, 3, 0], 3, {"audit": "success", "passed": "success", "run": "success"}),
        ([3] * 5, 4, {"audit": "failed", "crossed": "upstream_failed", "run": "failed"}),
    ],
)
def test_exit_codes_become_states(
    tmp_path: Path, codes: list[int], attempts: int, states: dict[str, str]
) -> None:
    command = nhd(tmp_path / "bin", codes)
    audit = tmp_path / "audits" / "2026-W47"
    audit.mkdir(parents=True)
    (audit / "verdict.json").write_text("{}")
    environment = {
        **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent), "PYTHONPATH": str(DAG.parent),
        "AIRFLOW_VAR_NHD_COMMAND": str(command), "AIRFLOW_VAR_NHD_AUDIT_CONFIG": "/etc/audit.yaml",
        "AIRFLOW_VAR_NHD_AUDIT_OUT": str(tmp_path),
    }  # fmt: skip
    python = environment["AIRFLOW_PYTHON"]
    for arguments in (["-m", "airflow", "db", "migrate"], ["-W", "ignore", "-c", RUN]):
        done = subprocess.run(
            [python, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True,
            timeout=250, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("STATES"))[7:])
    assert found == {**found, **states}
    assert calls(tmp_path / "bin") == ["audit --config /etc/audit.yaml --name 2026-W47"] * attempts
