"""What Prometheus is told is what was done; dashboard and alerts ask for nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pipelines.run.identity import Job
from pipelines.run.metrics import METRICS, Labels, Meter, Shards
from pipelines.run.runner import Summary
from tests.monitoring.metered import BAD, DEADLY, GOOD, JOB, SECONDS

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
RULES = MONITORING / "rules.yml"
Samples = dict[str, list[tuple[dict[str, str], float]]]


class Kept:
    """An exporter that keeps what it is told, as Prometheus would see it."""

    def __init__(self) -> None:
        self.counters: Counter[tuple[str, Labels]] = Counter()
        self.gauges: dict[tuple[str, Labels], float] = {}

    def add(self, name: str, labels: Labels, value: float) -> None:
        assert value > 0 and len(labels) == len(METRICS[name].labels)
        self.counters[name, labels] += value

    def set(self, name: str, labels: Labels, value: float) -> None:
        assert len(labels) == len(METRICS[name].labels)
        self.gauges[name, labels] = value


def totals(worker: int, images: int) -> dict[str, Any]:
    place = {"worker": f"{worker}@node", "node": f"node-{worker % 2}"}
    return {"images": images, "rejects": images // 2, "seconds": {"wait": images}, **place}


@given(heard=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), min_size=1))
def test_counters_are_the_most_that_was_heard_of_each_worker(heard: list[tuple[int, int]]) -> None:
    """In whatever order, however often, and with answers that are older than others."""
    kept = Kept()
    meter = Meter(kept)
    for worker, images in heard:
        meter.update(Summary(), Shards(0, 0, 1), [totals(worker, images)], last=True)
    most = {worker: max(n for w, n in heard if w == worker) for worker, _ in heard}
    for node in ("node-0", "node-1"):
        there = [n for worker, n in most.items() if f"node-{worker % 2}" == node]
        assert kept.counters["nhd_images", (node,)] == sum(there)
        assert kept.counters["nhd_rejects", (node, "not told")] == sum(n // 2 for n in there)
        assert kept.counters["nhd_phase_seconds", (node, "wait")] == sum(there)


def test_a_node_that_is_gone_has_no_workers_and_an_ended_job_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.run.metrics.EVERY", 0.0)
    kept = Kept()
    meter = Meter(kept)
    here, there = ("a", "busy"), ("b", "idle")
    for now in (Counter({here: 2, there: 1}), Counter({here: 1})):
        summary = Summary(queued=5, leased=now.total(), workers=now)
        meter.update(summary, Shards(3, 1, 10), [])
    workers = {labels: n for (name, labels), n in kept.gauges.items() if name == "nhd_workers"}
    assert workers == {here: 1, there: 0}
    assert kept.gauges["nhd_shards", ("waiting",)] == 6
    meter.update(summary, Shards(9, 1, 10), [], last=True)
    ended = {name: n for (name, _), n in kept.gauges.items() if name != "nhd_shards"}
    assert ended == {"nhd_workers": 0, "nhd_leases": 0}


def test_without_ray_nobody_is_told_and_nothing_fails() -> None:
    code = (
        "from pipelines.run import identity, metrics; import sys;"
        "print(metrics.exporter_of(identity.Job('a', 'b')), 'ray' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["None", "False"]
    Meter(None).update(Summary(), Shards(0, 0, 1), [totals(1, 1)], last=True)


def exported(session: Any) -> Samples:
    """What Ray's node serves on its metrics port of JOB."""
    port = session.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("run") == JOB.run:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture(scope="module")
def told(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """After a real job on a real Ray."""
    folder = tmp_path_factory.mktemp("metered")
    address = ray.get_runtime_context().gcs_address
    subprocess.run(
        [sys.executable, "-m", "tests.monitoring.metered", str(folder)],
        env={**os.environ, "RAY_ADDRESS": address, "NHD_LOG": "json"},
        check=True,
        timeout=120,
    )
    deadline = time.monotonic() + 20
    while not (found := exported(ray)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.mark.slow
@pytest.mark.cluster
def test_what_ray_exports_is_what_was_done(told: Samples) -> None:
    """To the last image, though actors were killed and one killed itself."""
    done = GOOD + DEADLY
    by = {
        (name, labels.get("phase") or labels.get("reason") or labels.get("state")): value
        for name, samples in told.items()
        for labels, value in samples
    }
    sums = {name: sum(value for _, value in samples) for name, samples in told.items()}
    assert sums["ray_nhd_images_total"] == 10 * done
    assert sums["ray_nhd_read_bytes_total"] == 1000 * done
    assert by["ray_nhd_leases_retried_total", None] == 2 * BAD
    assert by["ray_nhd_workers_died_total", None] == DEADLY
    states = {state: by["ray_nhd_shards", state] for state in ("done", "failed", "waiting")}
    assert states == {"done": done, "failed": BAD, "waiting": 0}
    assert sums["ray_nhd_workers"] == sums["ray_nhd_leases"] == 0
    for phase, seconds in SECONDS.items():
        spent = _sum(told, "ray_nhd_phase_seconds_total", phase=phase)
        assert spent == pytest.approx(seconds * done)
    for reason in ("empty_image", "undecodable_image"):
        assert _sum(told, "ray_nhd_rejects_total", reason=reason) == done


@pytest.mark.slow
@pytest.mark.cluster
def test_every_metric_is_exported_with_its_labels(told: Samples) -> None:
    assert told.keys() == {exported_name(name) for name in METRICS}
    for name, about in METRICS.items():
        wanted = {*Job._fields, *about.labels}
        assert all(wanted <= labels.keys() for labels, _ in told[exported_name(name)])


@pytest.mark.slow
@pytest.mark.cluster
def test_a_workers_lines_are_where_ray_collects_them(told: Samples, ray: Any) -> None:
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    lines = [line for path in logs.glob("worker-*.out") for line in path.read_text().splitlines()]
    mine = [json.loads(line) for line in lines if JOB.run in line]
    assert {one["source"] for one in mine} == {"worker"}
    events = Counter((one["event"], one["shard"]) for one in mine)
    assert events["shard_failed", "bad"] == 3 and events["shard_started", "deadly"] == 2
    done = {shard for event, shard in events if event == "shard_done"}
    assert done == {"deadly", *(f"good-{i}" for i in range(GOOD))}


def _sum(told: Samples, name: str, **wanted: str) -> float:
    return sum(value for labels, value in told[name] if wanted.items() <= labels.items())


def exported_name(name: str) -> str:
    return f"ray_{name}_total" if METRICS[name].type == "Counter" else f"ray_{name}"


def queries() -> dict[str, str]:
    """Every expression of the dashboard and of the alerts, by where it is."""
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    return panels | {rule["alert"]: rule["expr"] for rule in alerts()}


def alerts() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return rules


@pytest.mark.parametrize("where", queries())
def test_a_query_asks_only_for_metrics_and_labels_that_are_told(where: str) -> None:
    query = queries()[where]
    known = {exported_name(name): about for name, about in METRICS.items()}
    selected = re.findall(r"(ray_\w+)(?:\{([^}]*)\})?", query)
    assert selected
    for name, matchers in selected:
        asked = set(re.findall(r"(\w+)=~?\"", matchers))
        assert asked <= {*Job._fields, *known[name].labels}, name
    for labels, name in re.findall(r"by \(([^)]*)\) \(+(?:\w+\()*(ray_\w+)", query):
        assert set(labels.split(", ")) <= {*Job._fields, *known[name].labels}, name


def test_every_metric_is_looked_at() -> None:
    asked = {name for query in queries().values() for name in re.findall(r"ray_\w+", query)}
    assert asked == {exported_name(name) for name in METRICS}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
@pytest.mark.parametrize(
    "check", [["check", "config", "prometheus.yml"], ["check", "rules", "rules.yml"]]
)
def test_prometheus_takes_the_configuration(check: list[str]) -> None:
    found = subprocess.run(["promtool", *check], cwd=MONITORING, capture_output=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
def test_each_alert_is_raised_by_what_it_is_for() -> None:
    """`alerts.yml` has series and the alerts that they must raise, and a run in good order."""
    series = Path(__file__).parent / "alerts.yml"
    found = subprocess.run(["promtool", "test", "rules", series], capture_output=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    raised = {
        case["alertname"]
        for group in yaml.safe_load(series.read_text())["tests"]
        for case in group["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert raised == {rule["alert"] for rule in alerts()}
