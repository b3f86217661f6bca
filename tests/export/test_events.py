"""OpenLineage's events over real HTTP, and MLflow's runs in a real store: once, without secrets."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Incomplete
from pipelines.export.export import ExportPlan, export
from pipelines.export.mlflow_run import log_to_mlflow, metrics_of, params_of
from pipelines.export.openlineage import Receiver, events_of, send_events
from pipelines.export.report import Report

KEY = "api-key-0123456789"


class Marquez(HTTPServer):
    """Takes events until `refuse` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str | None, dict[str, Any]]] = []
        self.refuse = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Marquez)
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not server.refuse:
            server.got.append((self.path, self.headers["Authorization"], event))
        self.send_response(503 if server.refuse else 201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def marquez() -> Iterator[Marquez]:
    server = Marquez()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_receiver_gets_start_and_complete_of_one_run(report: Report, marquez: Marquez) -> None:
    receiver = Receiver(marquez.url, api_key=KEY)
    plan = ExportPlan(report.url, "openlineage", receiver=receiver, namespace="audits")
    assert export(plan) == export(plan) == "2 events sent"
    assert marquez.got[:2] == marquez.got[2:]  # a receiver knows the same run again
    assert {path for path, _, _ in marquez.got} == {"/api/v1/lineage"}
    assert {key for _, key, _ in marquez.got} == {f"Bearer {KEY}"}
    start, complete = (event for _, _, event in marquez.got[:2])
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert start["job"] == complete["job"] == {"namespace": "audits", "name": "nhd.compare"}
    assert complete["outputs"] == [{"namespace": "file", "name": report.url}]
    assert [{k: i[k] for k in ("namespace", "name")} for i in complete["inputs"]] == start["inputs"]


def test_the_assertions_are_the_findings(report: Report) -> None:
    _, complete = events_of(report, "nhd")
    facets = complete["inputs"][1]["inputFacets"]
    assert facets["dataQualityMetrics"]["rowCount"] == report.summary["current"]["images"]
    whole, *columns = facets["dataQualityAssertions"]["assertions"]
    assert whole["success"] is not report.overall["shifted"]
    failed = {a["column"] for a in columns if not a["success"]}
    assert failed == {f"similarity_{f['name']}" for f in report.changed} and failed
    assert len(columns) == report.summary["concepts"]["tested"]
    for facet in (*facets.values(), *complete["run"]["facets"].values()):
        assert facet["_producer"] == complete["producer"] and "_schemaURL" in facet


def test_a_receiver_that_refuses_or_is_gone_is_told_without_its_secrets(
    report: Report, marquez: Marquez
) -> None:
    marquez.refuse = True
    address = marquez.url.replace("://", f"://user:{KEY}@")
    for url in (
        marquez.url,
        f"{marquez.url}/?token={KEY}",
        "http://127.0.0.1:1",
        address,
        "no url",
    ):
        with pytest.raises(Incomplete, match="did not take the event") as raised:
            send_events(events_of(report, "nhd"), Receiver(url))
        assert KEY not in str(raised.value)


def test_no_secret_of_a_url_leaves(report: Report) -> None:
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    summary = {
        **report.summary,
        "baseline": report.summary["baseline"] | {"url": f"s3://AKIAX:{secret}@bucket/runs/one"},
        "current": report.summary["current"]
        | {"url": f"memory://bucket/two?X-Amz-Signature={secret}"},
    }
    changed = replace(report, summary=summary)
    told = json.dumps([events_of(changed, "nhd"), params_of(changed), metrics_of(changed)])
    assert secret not in told and "AKIAX" not in told
    assert {"namespace": "s3://bucket", "name": "runs/one"} in events_of(changed, "nhd")[0][
        "inputs"
    ]


def test_metrics_are_the_findings(report: Report) -> None:
    metrics = metrics_of(report)
    assert metrics["auc"] == report.overall["effect"]
    assert metrics["d_yellow"] == next(f["effect"] for f in report.changed if f["name"] == "yellow")
    assert metrics["flagged"] == report.samples.num_rows
    assert metrics["current_rejected"] == 6
    assert params_of(report)["measure"] == "similarity"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs nhd[mlflow]")
def test_mlflow_gets_a_report_once(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    run = log_to_mlflow(report, "audits")
    assert log_to_mlflow(report, "audits") == run
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("audits")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == run and found.info.status == "FINISHED"
    assert found.data.metrics == pytest.approx(metrics_of(report))
    assert found.data.params == params_of(report)
    page = client.download_artifacts(run, "report/index.html", str(tmp_path))
    assert Path(page).read_bytes() == (Path(report.url) / "index.html").read_bytes()
