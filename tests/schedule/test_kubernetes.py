"""The manifests hold to their schemas and to each other; submit.sh against a stand-in kubectl.

`schemas.json` says where its parts come from. No cluster was at hand: what KubeRay makes of a
RayJob is taken from its documentation and source, not seen.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from jobs.audit.read import read_settings
from tests.schedule.scripted import SCHEDULE, command, path_with

KUBERNETES = SCHEDULE / "kubernetes"
SUBMIT = KUBERNETES / "cronjob" / "submit.sh"
SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())
MESSAGE = "Job entrypoint command failed with exit code {}, last available logs (truncated ..."


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def check(document: Any) -> None:
    schema = {"$ref": f"#/$defs/{document['kind']}", "$defs": SCHEMAS["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def manifests() -> list[Any]:
    paths = [p for p in sorted(KUBERNETES.rglob("*.yaml")) if p.parent.name != "audit"]
    found = [d for path in paths for d in documents(path)]
    return [d for d in found if d["kind"] != "Kustomization"]


def test_every_yaml_file_of_the_folder_parses() -> None:
    paths = list(SCHEDULE.rglob("*.yaml"))
    assert len(paths) >= 8
    assert all(documents(path) for path in paths)


@pytest.mark.parametrize("document", manifests(), ids=lambda d: d["kind"])
def test_manifests_hold_to_their_schemas(document: Any) -> None:
    check(document)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("CronJob", ("spec", "jobTemplate", "spec", "backOffLimit")),
        ("RayJob", ("spec", "rayClusterSpec", "workerGroupSpec")),
        ("RayJob", ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "tolerate")),
        ("RayCronJob", ("spec", "concurrencyPolicy")),
        ("Role", ("rule",)),
    ],
)
def test_a_wrong_name_does_not_pass(kind: str, path: tuple[str, ...]) -> None:
    document = next(d for d in manifests() if d["kind"] == kind)
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "anything"
    with pytest.raises(jsonschema.ValidationError, match=path[-1]):
        check(document)


def test_both_ways_run_the_same_ray_job() -> None:
    (job,) = documents(KUBERNETES / "cronjob" / "rayjob.yaml")
    (cron,) = documents(KUBERNETES / "raycronjob" / "raycronjob.yaml")
    text = json.dumps(job["spec"]).replace("@NHD_IMAGE@", "nhd")
    text = text.replace(" --name @AUDIT@", "")  # the configuration names it by the week
    assert json.loads(text) == cron["spec"]["jobTemplate"]


def test_a_crossed_threshold_is_not_tried_again() -> None:
    (cron,) = documents(KUBERNETES / "cronjob" / "cronjob.yaml")
    job = cron["spec"]["jobTemplate"]["spec"]
    rule = job["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [1, 2]
    names = [c["name"] for c in job["template"]["spec"]["containers"]]
    assert rule["onExitCodes"]["containerName"] in names
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # the policy demands it
    (rayjob,) = documents(KUBERNETES / "cronjob" / "rayjob.yaml")
    assert rayjob["spec"]["backoffLimit"] == 0
    assert (
        rayjob["spec"]["activeDeadlineSeconds"] * (job["backoffLimit"] + 1)
        <= (job["activeDeadlineSeconds"])
    )


def test_pods_get_no_rights_that_they_do_not_use() -> None:
    role = next(d for d in manifests() if d["kind"] == "Role")
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "create", "delete"]}
    ]
    used = {w for line in SUBMIT.read_text().splitlines() for w in line.split("kubectl ")[1:]}
    assert {use.split()[0] for use in used} == {"get", "create", "delete"}
    (rayjob,) = documents(KUBERNETES / "cronjob" / "rayjob.yaml")
    cluster = rayjob["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert all("env" not in c for c in pod["containers"])  # secrets by reference only


def test_nhd_understands_the_configuration() -> None:
    config = str(KUBERNETES / "audit" / "audit.yaml")
    given, by_week = read_settings(config, "2026-W47"), read_settings(config, None)
    assert given.name == "2026-W47" and re.fullmatch(r"\d{4}-W\d\d", by_week.name)
    assert given.out.startswith("s3://") and given.notify.command[0].endswith("hooks/slack.sh")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("way", ["cronjob", "raycronjob"])
def test_kustomize_builds(way: str) -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / way], capture_output=True, text=True, check=True
    )
    found = list(yaml.safe_load_all(built.stdout))
    for document in found:
        assert document["metadata"]["namespace"] == "nhd"
        check(document)
    assert "image: kubectl\n" not in built.stdout and "image: nhd\n" not in built.stdout
    config = next(d for d in found if d["metadata"]["name"] == "nhd-audit-config")
    assert "audit.yaml" in config["data"]


def kubectl(tmp_path: Path, states: list[tuple[str, str, str]], there: bool) -> dict[str, str]:
    """A kubectl with one RayJob, whose state goes on at each look at its deployment status.

    Each state is (jobDeploymentStatus, jobStatus, message).
    """
    for name, column in zip(
        ("deployment", "status", "message"), zip(*states, strict=True), strict=True
    ):
        (tmp_path / name).write_text("".join(f"{value}\n" for value in column))
    (tmp_path / "exists").touch() if there else None
    command(
        tmp_path / "bin",
        "kubectl",
        f"""cd {tmp_path}; echo "$1" >> calls
case "$*" in
  create*) cat > created.yaml; touch exists ;;
  delete*) rm exists ;;
  *metadata.name*) [ -e exists ] && echo there ;;
  *jobDeploymentStatus*) [ -e exists ] || exit 0
    sed -n 1p deployment; sed -n 1p status > now.status; sed -n 1p message > now.message
    for f in deployment status message; do [ $(wc -l < $f) -gt 1 ] && sed -i 1d $f; done ;;
  *jobStatus*) cat now.status ;;
  *message*) cat now.message ;;
esac
exit 0""",
    )
    return {
        **os.environ, "PATH": path_with(tmp_path / "bin"), "PAUSE": "0", "NHD_IMAGE": "nhd:1",
        "JOB": "nhd-audit-29", "JOB_UID": "0-1",
    }  # fmt: skip


RUNNING = ("Running", "RUNNING", "")


def failed(code: int) -> tuple[str, str, str]:
    return ("Failed", "FAILED", MESSAGE.format(code))


@pytest.mark.parametrize(
    ("states", "there", "code", "changes"),
    [
        ([("", "", ""), RUNNING, ("Complete", "SUCCEEDED", "")], False, 0, ["create"]),
        ([RUNNING, failed(1)], False, 1, ["create"]),
        ([RUNNING, failed(2)], False, 2, ["create"]),
        ([RUNNING, failed(3)], False, 3, ["create"]),
        ([RUNNING, failed(4)], False, 4, ["create"]),
        ([RUNNING, failed(137)], False, 3, ["create"]),
        ([RUNNING, ("Failed", "RUNNING", "the deadline has passed")], False, 3, ["create"]),
        ([RUNNING, ("Complete", "STOPPED", "")], False, 3, ["create"]),
        ([RUNNING, ("Complete", "SUCCEEDED", "")], True, 0, []),  # taken over
        ([failed(1)], True, 1, []),  # done already
        ([failed(3), RUNNING, ("Complete", "SUCCEEDED", "")], True, 0, ["delete", "create"]),
        ([failed(2), RUNNING, failed(1)], True, 1, ["delete", "create"]),
    ],
)
def test_submit_ends_with_the_exit_code_of_nhd(
    tmp_path: Path, states: list[tuple[str, str, str]], there: bool, code: int, changes: list[str]
) -> None:
    environment = kubectl(tmp_path, states, there)
    found = subprocess.run(
        ["sh", SUBMIT], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == code, found.stdout + found.stderr
    assert [c for c in (tmp_path / "calls").read_text().split() if c != "get"] == changes
    if "create" in changes:
        (created,) = documents(tmp_path / "created.yaml")
        check(created)
        assert "@" not in json.dumps(created)
        name = created["metadata"]["name"]
        assert name == name.lower() and len(name) <= 47  # KubeRay's limit
        owner = created["metadata"]["ownerReferences"][0]
        assert (owner["name"], owner["uid"]) == ("nhd-audit-29", "0-1")


def test_submit_gives_up_when_the_ray_job_is_gone(tmp_path: Path) -> None:
    environment = kubectl(tmp_path, [RUNNING], there=False)
    command(tmp_path / "bin", "kubectl", f'echo "$1" >> {tmp_path}/calls')
    found = subprocess.run(["sh", SUBMIT], env=environment, timeout=60, check=False)
    assert found.returncode == 3
