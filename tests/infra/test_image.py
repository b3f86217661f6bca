"""What the image installs is pinned."""

import re
import subprocess
import sys
from pathlib import Path

INFRA = Path(__file__).parents[2] / "infra"


def test_every_package_of_the_image_is_pinned() -> None:
    (extras,) = re.findall(r"ARG EXTRAS=(\S+)", (INFRA / "Dockerfile").read_text())
    command = [sys.executable, INFRA / "image" / "requirements.py", extras]
    told = subprocess.check_output(command, text=True, cwd=INFRA.parent).split()
    wanted = {re.split(r"[\[>=<]", need)[0].replace("_", "-") for need in told}
    pinned = set(re.findall(r"(?m)^(\S+)==", (INFRA / "constraints.txt").read_text()))
    assert {"torch", "ray", "s3fs", "gcsfs"} <= wanted <= pinned
