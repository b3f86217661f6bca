"""Schemas of the manifests: Kubernetes' own, and KubeRay's in short notation (ray_kinds.yaml).

`kubernetes.json.gz` holds what the kinds below refer to of Kubernetes 1.37's OpenAPI definitions,
in full but without descriptions, from the strict set of kubernetes-validate 1.37.0 (PyPI; Copyright
The Kubernetes Authors and Will Thames, Apache License 2.0). To make it anew:

    pip install --target /tmp/kv kubernetes-validate==1.37.0
    schemas=/tmp/kv/kubernetes_validate/kubernetes-json-schema
    python -m tests.infra.schemas $schemas/v1.37.0-local-strict
"""

import gzip
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HERE = Path(__file__).parent
STORED = HERE / "kubernetes.json.gz"
KINDS = [
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.Namespace",
    "io.k8s.api.core.v1.PodTemplateSpec",
    "io.k8s.api.core.v1.ResourceQuota",
    "io.k8s.api.core.v1.ServiceAccount",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.rbac.v1.Role",
    "io.k8s.api.rbac.v1.RoleBinding",
    "io.k8s.api.scheduling.v1.PriorityClass",
]
PLAIN = {"string", "integer", "number", "boolean"}


@cache
def definitions() -> dict[str, Any]:
    """Short name of a type → its JSON schema."""
    found: dict[str, Any] = json.loads(gzip.decompress(STORED.read_bytes()))
    notation = yaml.safe_load((HERE / "ray_kinds.yaml").read_text())
    return {**found, **{name: from_notation(fields) for name, fields in notation.items()}}


def from_notation(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name.rstrip("!"): from_type(kind) for name, kind in fields.items()},
        "required": [name[:-1] for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


def from_type(kind: str) -> dict[str, Any]:
    if kind[0] == "[":
        return {"type": "array", "items": from_type(kind[1:-1])}
    if kind[0] == "{":
        return {"type": "object", "additionalProperties": from_type(kind[1:-1])}
    if kind in PLAIN:
        return {"type": kind}
    if re.fullmatch(r"[A-Z]\w+", kind):
        return {"$ref": f"#/$defs/{kind}"}
    return {"enum": [word for word in kind.split("|") if word]}


def check(document: Any, kind: str | None = None) -> None:
    """Raise jsonschema.ValidationError unless `document` is of its kind."""
    schema = {"$ref": f"#/$defs/{kind or document['kind']}", "$defs": definitions()}
    jsonschema.Draft202012Validator(schema).validate(document)


def without_words(node: Any) -> Any:
    """`node` with short type names, and without what only people read."""
    if isinstance(node, list):
        return [without_words(item) for item in node]
    if not isinstance(node, dict):
        return node
    words = {k for k, v in node.items() if k == "description" and isinstance(v, str)}
    kept = {k: v for k, v in node.items() if k not in words and not k.startswith("x-")}
    if "$ref" in kept:
        return {"$ref": "#/$defs/" + kept["$ref"].rpartition(".")[2]}
    return {k: without_words(v) for k, v in kept.items()}


def closure(found: dict[str, Any]) -> dict[str, Any]:
    """What KINDS refer to, directly or not."""
    kept: dict[str, Any] = {}
    ahead = list(KINDS)
    while ahead:
        name = ahead.pop()
        short = name.rpartition(".")[2]
        if short not in kept:
            kept[short] = without_words(found[name])
            ahead += re.findall(r'"\$ref": "[^"]*/([^"/]+)"', json.dumps(found[name]))
    return kept


if __name__ == "__main__":
    source = json.loads((Path(sys.argv[1]) / "_definitions.json").read_text())
    kept = closure(source["$defs"])
    STORED.write_bytes(gzip.compress(json.dumps(kept, sort_keys=True).encode(), 9, mtime=0))
    print(f"{len(kept)} types, {STORED.stat().st_size} bytes")
