"""What kustomize makes of infra/kuberay, and the pods in it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

KUBERAY = Path(__file__).parents[2] / "infra" / "kuberay"
WAYS = ["cronjob", "large", "raycronjob", "run", "small", "trial"]  # what people apply
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed"
)


class Pod(NamedTuple):
    """A pod of a manifest: the path to it, its labels and annotations, and its spec."""

    path: str
    metadata: dict[str, Any]
    spec: dict[str, Any]


@cache
def text(folder: Path) -> str:
    command = ["kubectl", "kustomize", folder]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def build(folder: str | Path) -> list[Any]:
    """The documents of a folder of infra/kuberay, or of one elsewhere."""
    # The one in C takes a tenth of the time; wheels of PyYAML have it, its source may not.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(text(KUBERAY / folder), loader))


def one(documents: list[Any], kind: str) -> Any:
    (found,) = [d for d in documents if d["kind"] == kind]
    return found


def cluster(documents: list[Any]) -> Any:
    """The spec of the Ray cluster, wherever it is in these documents."""
    for document in documents:
        match document["kind"]:
            case "RayCluster":
                return document["spec"]
            case "RayJob":
                return document["spec"]["rayClusterSpec"]
            case "RayCronJob":
                return document["spec"]["jobTemplate"]["rayClusterSpec"]
    raise AssertionError("there is no Ray cluster here")


def pods(node: Any, path: str = "") -> Iterator[Pod]:
    """Every pod template in `node`: whatever has a spec with containers."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from pods(item, f"{path}[{number}]")
    elif isinstance(node, dict):
        spec = node.get("spec")
        if isinstance(spec, dict) and "containers" in spec:
            yield Pod(path, node.get("metadata", {}), spec)
        for name, item in node.items():
            yield from pods(item, f"{path}.{name}")


def all_pods(way: str) -> list[Pod]:
    """Every pod of what is applied in this folder."""
    return [pod for document in build(way) for pod in pods(document, document["kind"])]


def amount(quantity: str) -> float:
    """A quantity of Kubernetes, such as 1500m or 2Gi, as a number."""
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    scale = {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(number) * scale[unit]
