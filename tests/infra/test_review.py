"""infra/kuberay as a reviewer reads it before it gets into a cluster: rights, limits, reach."""

import re

import pytest

from tests.infra.kustomize import WAYS, all_pods, amount, build, cluster, needs_kubectl, one

pytestmark = needs_kubectl


@pytest.mark.parametrize("way", WAYS)
def test_a_restricted_namespace_takes_every_pod(way: str) -> None:
    """The rules of Kubernetes' Pod Security Standard "restricted"."""
    found = all_pods(way)
    assert len(found) >= 2
    for pod in found:
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, pod.path
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.path
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys(), pod.path
        for volume in pod.spec["volumes"]:
            assert volume.keys() <= {"name", "emptyDir", "configMap", "projected", "secret"}, (
                pod.path
            )
        for container in pod.spec["containers"] + pod.spec.get("initContainers", []):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {
                "drop": ["ALL"]
            }
            assert own["readOnlyRootFilesystem"] is True and not own.get("privileged")
            assert all("hostPort" not in port for port in container.get("ports", []))
    options = cluster(build(way))["autoscalerOptions"]["securityContext"]
    assert options == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("way", WAYS)
def test_every_container_says_what_it_takes(way: str) -> None:
    spec = cluster(build(way))
    containers = [c for pod in all_pods(way) for c in pod.spec["containers"]]
    for container in [*containers, spec["autoscalerOptions"]]:
        wanted, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= wanted.keys()
        assert {"memory", "ephemeral-storage"} <= limits.keys()
        assert all(amount(wanted[k]) <= amount(limits[k]) for k in wanted.keys() & limits.keys())
    for pod in all_pods(way):
        disk = sum(
            amount(volume["emptyDir"]["sizeLimit"])  # a volume without a limit fills the node
            for volume in pod.spec["volumes"]
            if "emptyDir" in volume and volume["emptyDir"].get("medium") != "Memory"
        )
        limit = sum(
            amount(c["resources"]["limits"]["ephemeral-storage"]) for c in pod.spec["containers"]
        )
        assert disk <= limit, pod.path


@pytest.mark.parametrize("way", WAYS)
def test_secrets_come_by_reference_and_no_pod_has_rights_it_does_not_use(way: str) -> None:
    documents = build(way)
    assert not [d for d in documents if d["kind"] == "Secret"]
    assert cluster(documents)["authOptions"] == {"mode": "token"}
    for pod in all_pods(way):
        submits = pod.spec["serviceAccountName"] == "nhd-audit-submit"
        assert pod.spec["automountServiceAccountToken"] is submits, pod.path
        for container in pod.spec["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert "kubernetes-api" not in mounted  # the autoscaler's container alone has it
            given = [e for e in container.get("env", []) if "value" in e]
            assert not [e for e in given if re.search("KEY|TOKEN|SECRET|PASSWORD", e["name"])]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_but_nhd_reaches_ray(way: str) -> None:
    documents = build(way)
    policy = one(documents, "NetworkPolicy")["spec"]
    ((key, value),) = policy["podSelector"]["matchLabels"].items()
    spec = cluster(documents)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert group["template"]["metadata"]["labels"][key] == value
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["enableIngress"] is False
    for rule in policy["ingress"]:
        own = rule["from"] == [{"podSelector": policy["podSelector"]}]
        ports = {port["port"] for port in rule.get("ports", [])}
        assert own or (ports and ports <= {8265, 8080})
    for pod in all_pods(way):
        if "submitterPodTemplate" in pod.path:
            assert pod.metadata["labels"]["nhd/submits"] == "true"


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_has_time_to_hand_back_its_shard(way: str) -> None:
    for group in cluster(build(way))["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert 5 <= pod["terminationGracePeriodSeconds"] - int(command[-1]) <= 20
        assert command[1] == "/etc/nhd-ray/drain.sh"
    (scripts,) = [d for d in build(way) if d["metadata"]["name"] == "nhd-ray-scripts"]
    assert "drain.sh" in scripts["data"]


def test_everything_fits_into_the_quota() -> None:
    hard = one(build("platform"), "ResourceQuota")["spec"]["hard"]
    spec = cluster(build("large"))
    total: dict[str, float] = {"pods": 0}
    groups = [
        (1, spec["headGroupSpec"]),
        *((g["maxReplicas"], g) for g in spec["workerGroupSpecs"]),
    ]
    for count, group in groups:
        total["pods"] += count
        for name, quantity in group["template"]["spec"]["containers"][0]["resources"][
            "requests"
        ].items():
            total[f"requests.{name}"] = total.get(f"requests.{name}", 0) + count * amount(quantity)
    assert all(used <= amount(hard[name]) for name, used in total.items())
    assert total["requests.nvidia.com/gpu"] == amount(hard["requests.nvidia.com/gpu"])
