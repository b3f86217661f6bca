"""The weekly audit on Kubernetes: what is tried again, and submit.sh against a stand-in kubectl."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from jobs.audit.read import read_settings
from tests.infra.kustomize import KUBERAY, build, cluster, needs_kubectl, one, text
from tests.infra.schemas import check
from tests.schedule.scripted import command, path_with

pytestmark = needs_kubectl
SUBMIT = KUBERAY / "cronjob" / "submit.sh"
CONFIG = KUBERAY / "audit" / "audit.yaml"
MESSAGE = "Job entrypoint command failed with exit code {}, last available logs (truncated ..."


def test_both_ways_run_the_same_ray_job() -> None:
    job = dict(one(build("cronjob"), "RayJob")["spec"])
    cron = one(build("raycronjob"), "RayCronJob")["spec"]["jobTemplate"]
    assert job.pop("suspend") is True  # a form to copy, which starts nothing itself
    assert job.pop("entrypoint") == cron["entrypoint"] + " --name @AUDIT@"
    assert job == {k: v for k, v in cron.items() if k != "entrypoint"}


def test_a_crossed_threshold_is_not_tried_again() -> None:
    job = one(build("cronjob"), "CronJob")["spec"]["jobTemplate"]["spec"]
    rule = job["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [1, 2]
    names = [c["name"] for c in job["template"]["spec"]["containers"]]
    assert rule["onExitCodes"]["containerName"] in names
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # the policy demands it
    rayjob = one(build("cronjob"), "RayJob")["spec"]
    assert rayjob["backoffLimit"] == 0 and rayjob["shutdownAfterJobFinishes"] is True
    attempts = job["backoffLimit"] + 1
    assert rayjob["activeDeadlineSeconds"] * attempts <= job["activeDeadlineSeconds"]


def test_the_submitting_pod_has_no_rights_that_it_does_not_use() -> None:
    role = one(build("cronjob"), "Role")
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "create", "delete"]}
    ]
    used = re.findall(r"kubectl (\w+)", re.sub("(?m)^ *#.*", "", SUBMIT.read_text()))
    assert set(used) == {"get", "create", "delete"}


@pytest.mark.parametrize("way", ["cronjob", "raycronjob"])
def test_nhd_understands_the_configuration_and_finds_it(way: str) -> None:
    given, by_week = read_settings(str(CONFIG), "2026-W47"), read_settings(str(CONFIG), None)
    assert given.name == "2026-W47" and re.fullmatch(r"\d{4}-W\d\d", by_week.name)
    assert given.out.startswith("s3://") and given.notify.command[0].endswith("hooks/slack.sh")
    spec = cluster(build(way))
    assert given.run.workers == sum(g["maxReplicas"] for g in spec["workerGroupSpecs"])
    (mount,) = [
        m
        for m in spec["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        if m["name"] == "audit"
    ]
    assert f"--config {mount['mountPath']}/{CONFIG.name}" in text(KUBERAY / way)
    (config,) = [d for d in build(way) if d["metadata"]["name"] == "nhd-audit-config"]
    assert config["data"][CONFIG.name] == CONFIG.read_text()


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suspended RayJob's spec, as kubectl prints it."""
    folder = tmp_path_factory.mktemp("form")
    (folder / "rayjob.json").write_text(json.dumps(one(build("cronjob"), "RayJob")))
    printed = subprocess.run(
        ["kubectl", "patch", "--local", "--type=merge", "-p", "{}", "-f", folder / "rayjob.json",
         "-o", "jsonpath={.spec}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "spec").write_text(printed.stdout)
    return folder / "spec"


def kubectl(
    tmp_path: Path, form: Path, states: list[tuple[str, str, str]], there: bool
) -> dict[str, str]:
    """A kubectl with the form and one RayJob more, whose state goes on at each look at it.

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
  "get rayjob nhd-audit -o jsonpath={{.spec}}") cat {form} ;;
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
        **os.environ, "PATH": path_with(tmp_path / "bin"), "PAUSE": "0",
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
    tmp_path: Path,
    form: Path,
    states: list[tuple[str, str, str]],
    there: bool,
    code: int,
    changes: list[str],
) -> None:
    environment = kubectl(tmp_path, form, states, there)
    found = subprocess.run(
        ["sh", SUBMIT], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == code, found.stdout + found.stderr
    assert [c for c in (tmp_path / "calls").read_text().split() if c != "get"] == changes
    if "create" in changes:
        created = json.loads((tmp_path / "created.yaml").read_text())
        check(created)
        assert "@" not in json.dumps(created) and created["spec"]["suspend"] is False
        expected = dict(one(build("cronjob"), "RayJob")["spec"])
        assert created["spec"]["rayClusterSpec"] == expected["rayClusterSpec"]
        name = created["metadata"]["name"]
        assert name == name.lower() and len(name) <= 47  # KubeRay's limit
        owner = created["metadata"]["ownerReferences"][0]
        assert (owner["name"], owner["uid"]) == ("nhd-audit-29", "0-1")


def test_submit_gives_up_when_the_ray_job_is_gone(tmp_path: Path, form: Path) -> None:
    environment = kubectl(tmp_path, form, [RUNNING], there=False)
    command(tmp_path / "bin", "kubectl", f'echo "$1" >> {tmp_path}/calls')
    found = subprocess.run(["sh", SUBMIT], env=environment, timeout=60, check=False)
    assert found.returncode == 3
