"""An Airflow DAG that audits a dataset each week with `nhd audit`.

Exit codes of nhd become states of Airflow: 0 and 1 are finished audits (1 goes on to `crossed`),
2 fails without another attempt, 3 is tried again and resumes, 4 (another run holds the folder) is
skipped. Written for Airflow 3 with its standard provider; copy it into the folder of DAGs.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Variable, task
from airflow.sdk.exceptions import AirflowFailException

NHD = Variable.get("nhd_command", default="/opt/nhd/.venv/bin/nhd")
CONFIG = Variable.get("nhd_audit_config", default="/etc/nhd/web-images.yaml")
OUT = Variable.get("nhd_audit_out", default="/srv/audits/web-images")
"""The `out` of the configuration, to show the verdict of an audit that crossed a threshold."""

# The week that the run stands for, not the day it happens to start on: retries, late starts and
# backfills of one interval resume the same audit.
NAME = "{{ (data_interval_start or dag_run.run_after).strftime('%G-W%V') }}"

# Airflow retries whatever fails, so only what a retry can mend may fail here. The last line of the
# output is the task's result.
AUDIT = """
"$NHD" audit --config "$CONFIG" --name "$NAME"
code=$?
echo "$code"
case $code in 0 | 1 | 2) exit 0 ;; *) exit "$code" ;; esac
"""

with DAG(
    dag_id="nhd_audit",
    schedule="17 4 * * 1",
    start_date=datetime(2026, 11, 2),
    catchup=False,
    max_active_runs=1,
    tags=["nhd"],
) as dag:
    audit = BashOperator(
        task_id="audit",
        bash_command=AUDIT,
        env={"NHD": NHD, "CONFIG": CONFIG, "NAME": NAME},
        append_env=True,
        skip_on_exit_code=4,
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=12),
    )

    @task.branch(retries=0)
    def verdict(code: str) -> str:
        """The task that goes on from nhd's exit code."""
        if code == "2":
            raise AirflowFailException("the configuration is wrong; the log of `audit` says where")
        return "crossed" if code == "1" else "passed"

    crossed = BashOperator(
        task_id="crossed",
        # It fails, so that the run is red and Airflow's own alerts speak. Put what should happen
        # (open a ticket, hold back the data) before the last line.
        bash_command='cat "$OUT/audits/$NAME/verdict.json"; exit 1',
        env={"OUT": OUT, "NAME": NAME},
        append_env=True,
        retries=0,
    )
    passed = BashOperator(task_id="passed", bash_command="true")

    verdict(audit.output) >> [passed, crossed]
