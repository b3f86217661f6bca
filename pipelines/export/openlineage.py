"""A comparison as OpenLineage events: two runs in, a report out, and what the tests said.

Standard facets where there is one (`dataQualityMetrics`, `dataQualityAssertions`), so that Marquez
and DataHub show them; the rest in one facet of our own. See openlineage.io/spec, 2-0-2.
"""

import json
import os
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fsspec

from pipelines.errors import Incomplete
from pipelines.export.report import SIDES, Report
from pipelines.io.files import atomic_write, reason
from pipelines.io.urls import redact

NAME = "openlineage.ndjson"
PRODUCER = "urn:nhd"
SPEC = "https://openlineage.io/spec"
TIMEOUT = 20
Event = dict[str, Any]


@dataclass(frozen=True)
class Receiver:
    """Where events go, as OpenLineage's clients are told by OPENLINEAGE_URL and its like."""

    url: str
    endpoint: str = "api/v1/lineage"
    api_key: str | None = None


def events_of(report: Report, namespace: str) -> list[Event]:
    """START and COMPLETE of one run, both at the time the report was written."""
    identity = str(uuid.UUID(hex=report.digest[:32], version=5))
    common = {
        "eventTime": _time(report),
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "job": {"namespace": namespace, "name": "nhd.compare"},
    }
    begun = {
        "run": {"runId": identity},
        "inputs": [_dataset(report.summary[side]["url"]) for side in SIDES],
        "outputs": [],
    }
    ended = {
        "run": {"runId": identity, "facets": {"nhd_comparison": _own(report)}},
        "inputs": [_input(report, side) for side in SIDES],
        "outputs": [_dataset(report.url)],
    }
    return [
        {"eventType": "START", **common, **begun},
        {"eventType": "COMPLETE", **common, **ended},
    ]


def write_events(events: list[Event], url: str) -> None:
    """One event a line, as OpenLineage's file transport has them."""
    lines = (json.dumps(event, ensure_ascii=False, allow_nan=False) for event in events)
    atomic_write(url, "".join(f"{line}\n" for line in lines).encode())


def send_events(events: list[Event], receiver: Receiver) -> None:
    """Post them in order. Raises Incomplete where the receiver does not take one."""
    address = f"{receiver.url.rstrip('/')}/{receiver.endpoint.lstrip('/')}"
    headers = {"Content-Type": "application/json"}
    if receiver.api_key:
        headers["Authorization"] = f"Bearer {receiver.api_key}"
    for event in events:
        data = json.dumps(event, allow_nan=False).encode()
        try:
            request = urllib.request.Request(address, data, headers, method="POST")
            with urllib.request.urlopen(request, timeout=TIMEOUT):
                pass
        except (OSError, ValueError) as error:  # ValueError: of an address that is none
            raise Incomplete(
                f"OPENLINEAGE_URL {redact(address)} did not take the event ({reason(error)}); "
                "run the same command again"
            ) from error


def _input(report: Report, side: str) -> Event:
    counts = report.summary[side]
    metrics = {"rowCount": counts["images"], "columnMetrics": {}}
    facets = {
        "dataQualityMetrics": _standard("1-0-3/DataQualityMetricsInputDatasetFacet", **metrics)
    }
    if side == "current":
        assertions = _standard(
            "1-1-0/DataQualityAssertionsDatasetFacet", assertions=_assertions(report)
        )
        facets["dataQualityAssertions"] = assertions
    return _dataset(counts["url"]) | {"inputFacets": facets}


def _assertions(report: Report) -> list[Event]:
    """That nothing changed: of the images as a whole, and of the column of each concept."""
    measure, overall = report.summary["measure"], report.overall
    concepts = [f for f in report.findings if f["kind"] == "concept"]
    return [
        _assertion("nhd_not_told_apart", overall),
        *(_assertion("nhd_unchanged", f) | {"column": f"{measure}_{f['name']}"} for f in concepts),
    ]


def _assertion(name: str, finding: Event) -> Event:
    effect = {"actual": f"{finding['effect']:.4g}"} if finding["effect"] is not None else {}
    return {"assertion": name, "success": not finding["shifted"], **effect}


def _own(report: Report) -> Event:
    """What no standard facet says; of its schema no more is promised than that it is a facet."""
    kept = ("name", "text", "effect", "low", "high", "q", "direction")
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet",
        **{name: report.summary[name] for name in ("verdict", "measure", "alpha", "floor")},
        "auc": {name: report.overall[name] for name in ("effect", "low", "high", "shifted")},
        "changed": [{name: finding[name] for name in kept} for finding in report.changed],
        "rejected": report.summary["current"].get("rejected"),
        "weights_sha256": report.summary["current"].get("weights_sha256"),
        "report_sha256": report.digest,
    }


def _standard(schema: str, **values: Any) -> Event:
    name = schema.partition("/")[2]
    pointer = f"{SPEC}/facets/{schema}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": pointer, **values}


def _dataset(url: str) -> Event:
    """By OpenLineage's naming: `file` and a path, or scheme and bucket, and a key."""
    scheme, there, rest = redact(url).partition("://")
    if not there or scheme in ("file", "local"):
        return {"namespace": "file", "name": os.path.abspath(rest or url)}
    bucket, _, key = rest.rstrip("/").partition("/")
    return {"namespace": f"{scheme}://{bucket}", "name": key or "/"}


def _time(report: Report) -> str:
    """When the report was written; now, where the store cannot tell."""
    try:
        fs, path = fsspec.core.url_to_fs(f"{report.url}/samples.parquet")
        written = fs.modified(path)
    except (NotImplementedError, OSError, KeyError):
        written = datetime.now(UTC)
    written = written if written.tzinfo else written.replace(tzinfo=UTC)
    return written.astimezone(UTC).isoformat(timespec="milliseconds")
