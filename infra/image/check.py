"""Fail unless what is installed here is what constraints.txt (the first argument) names.

For every installed package, not just for Ray: a package from elsewhere on the path, or an installer
that ignored the constraints, would otherwise be noticed at run time only.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

pinned = dict(re.findall(r"(?m)^(\S+)==(\S+)$", Path(sys.argv[1]).read_text()))
found = {re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in distributions()}
wrong = {
    name: version
    for name, version in found.items()
    if name in pinned and version.split("+")[0] != pinned[name]
}
unpinned = sorted(found.keys() - pinned.keys() - {"nhd", "pip", "setuptools"})
if wrong or unpinned or "nhd" not in found:
    sys.exit(f"not as pinned: {wrong}; not pinned: {unpinned}")

import torch  # noqa: E402

import pipelines.run.actors  # noqa: E402, F401

print(f"{len(found)} packages as pinned; torch {torch.__version__}")
