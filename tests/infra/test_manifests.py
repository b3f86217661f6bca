"""infra/kuberay as kustomize builds it: schemas, what refers to what, one cluster in all ways.

No cluster was at hand. What KubeRay adds to these objects is taken from its source, not seen.
"""

import copy
import re
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from tests.infra.kustomize import (
    KUBERAY,
    WAYS,
    all_pods,
    amount,
    build,
    cluster,
    needs_kubectl,
    one,
    text,
)
from tests.infra.schemas import check

pytestmark = needs_kubectl


def test_every_folder_that_can_be_applied_is_looked_at() -> None:
    found = [p.parent for p in KUBERAY.rglob("kustomization.yaml")]
    kinds = {p: yaml.safe_load((p / "kustomization.yaml").read_text())["kind"] for p in found}
    applied = {str(p.relative_to(KUBERAY)) for p, kind in kinds.items() if kind == "Kustomization"}
    assert applied == {*WAYS, "cluster", "platform"}


@pytest.mark.parametrize("way", [*WAYS, "platform"])
def test_what_is_applied_holds_to_the_schemas(way: str) -> None:
    documents = build(way)
    for document in documents:
        check(document)
    names = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(set(names)) == len(names)
    if way != "platform":
        assert {d["metadata"]["namespace"] for d in documents} == {"nhd"}


@pytest.mark.parametrize(
    ("way", "kind", "path"),
    [
        ("cronjob", "CronJob", ("spec", "jobTemplate", "spec", "backOffLimit")),
        ("run", "RayJob", ("spec", "rayClusterSpec", "workerGroupSpec")),
        (
            "run",
            "RayJob",
            ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "tolerate"),
        ),
        ("small", "RayCluster", ("spec", "autoscalerOptions", "idleTimeout")),
        ("small", "NetworkPolicy", ("spec", "ingres")),
        ("raycronjob", "RayCronJob", ("spec", "concurrencyPolicy")),
        ("platform", "ResourceQuota", ("spec", "hards")),
        ("cronjob", "Role", ("rule",)),
    ],
)
def test_a_wrong_name_does_not_pass(way: str, kind: str, path: tuple[str, ...]) -> None:
    document = copy.deepcopy(one(build(way), kind))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "anything"
    with pytest.raises(jsonschema.ValidationError, match=path[-1]):
        check(document)


@pytest.mark.parametrize("way", WAYS)
def test_ray_counts_what_kubernetes_gives(way: str) -> None:
    spec = cluster(build(way))
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        resources = pod["containers"][0]["resources"]
        if "groupName" in group:
            assert group["rayStartParams"]["num-cpus"] == resources["requests"]["cpu"]
            assert group["minReplicas"] <= group["maxReplicas"] and "replicas" not in group
        (memory,) = [v["emptyDir"] for v in pod["volumes"] if v["name"] == "shared-memory"]
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store < amount(memory["sizeLimit"]) < amount(resources["limits"]["memory"]) / 2


@pytest.mark.parametrize("way", WAYS)
def test_names_in_a_pod_are_there(way: str) -> None:
    documents = build(way)
    there = {(d["kind"], d["metadata"]["name"]) for d in [*documents, *build("platform")]}
    for pod in all_pods(way):
        assert ("ServiceAccount", pod.spec["serviceAccountName"]) in there, pod.path
        assert ("PriorityClass", pod.spec["priorityClassName"]) in there, pod.path
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there, pod.path
        for container in pod.spec["containers"]:
            assert {m["name"] for m in container["volumeMounts"]} <= volumes.keys(), pod.path
            assert "/tmp" in {m["mountPath"] for m in container["volumeMounts"]}, pod.path
            for source in container.get("envFrom", []):
                if "configMapRef" in source:
                    assert ("ConfigMap", source["configMapRef"]["name"]) in there, pod.path
    for mount in cluster(documents)["autoscalerOptions"]["volumeMounts"]:
        head = cluster(documents)["headGroupSpec"]["template"]["spec"]
        assert mount["name"] in {volume["name"] for volume in head["volumes"]}


@pytest.mark.parametrize("way", WAYS)
def test_one_image_of_the_ray_that_is_tested(way: str) -> None:
    spec = cluster(build(way))
    assert spec["rayVersion"] == ray.__version__
    images = {c["image"] for pod in all_pods(way) for c in pod.spec["containers"]}
    assert all(re.fullmatch(r"\S+/\S+(:[\w.-]+|@sha256:\w{64})", image) for image in images)
    assert not [image for image in images if image.endswith(":latest")]
    assert len({image for image in images if "/nhd:" in image}) == 1


@pytest.mark.parametrize("size", ["cpu", "small", "large"])
@pytest.mark.parametrize("way", ["run", "raycronjob"])
def test_any_size_goes_with_any_way_and_all_run_the_same_cluster(
    tmp_path: Path, way: str, size: str
) -> None:
    plain = {"cpu": "trial"}.get(size, size)
    folder = tmp_path / "kuberay"
    for path in KUBERAY.rglob("*"):
        if path.is_file():
            copied = folder / path.relative_to(KUBERAY)
            copied.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_text()
            if path == KUBERAY / way / "kustomization.yaml":
                content = re.sub(r"sizes/\w+", f"sizes/{size}", content)
                content = re.sub(r" \.\./audit,", "", content)
            copied.write_text(content)
    assert cluster(build(folder / way)) == cluster(build(plain))


def test_metrics_are_scraped_where_ray_gives_them(tmp_path: Path) -> None:
    own = tmp_path / "kustomization.yaml"
    own.write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: nhd\n"
        f"resources: [{relative(tmp_path, 'cluster')}]\n"
        f"components: [{relative(tmp_path, 'monitoring')}]\n"
    )
    documents = build(tmp_path)
    monitor = one(documents, "PodMonitor")
    check(monitor)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    spec = cluster(documents)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        ports = {
            p["name"]: p["containerPort"]
            for p in group["template"]["spec"]["containers"][0]["ports"]
        }
        assert ports[endpoint["port"]] == 8080  # KubeRay starts Ray with this port
        labels = {**group["template"]["metadata"]["labels"], "ray.io/is-ray-node": "yes"}
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def relative(folder: Path, name: str) -> str:
    return "../" * (len(folder.resolve().parts) - 1) + str(KUBERAY / name)[1:]


def test_placeholders_are_marked() -> None:
    """Whatever names another's place says PLACEHOLDER on its line, so that none is overlooked."""
    for path in KUBERAY.rglob("*.yaml"):
        for line in path.read_text().splitlines():
            if re.search(r"newName: registry\.example|node\.example\.com", line):
                assert "PLACEHOLDER" in line, f"{path}: {line}"
    assert "@" not in text(KUBERAY / "run")
