"""infra/elastic: its machines are apart, its comparison sees what differs, and the proof holds."""

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.elastic.equal import Compared, base_name, unlike
from pipelines.bench.difference import Difference, difference
from pipelines.extract.job import extract
from pipelines.io import shards
from pipelines.io.store import Run
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "infra" / "elastic.sh"
VERDICT = {"state": "passed", "auc": 0.5, "thresholds": [{"name": "car", "value": 0.02, "q": None}]}
SPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
MACHINES = """
import subprocess, sys
from pathlib import Path
from infra.elastic.machines import HERE, Machine, lay_network

folder = Path(sys.argv[1])
local = folder / "local"
local.mkdir()
lay_network()
one, two = (Machine(f"m{i}", 10 + i, folder / f"m{i}", local) for i in (1, 2))
knock = f"timeout 1 bash -c '</dev/tcp/{two.address}/99' 2>&1"

def says(machine, command):
    found = subprocess.run(machine._inside("bash", "-c", command), capture_output=True, text=True)
    return found.stdout + found.stderr

print("names", says(one, "hostname").strip(), says(two, "hostname").strip())
one.run("bash", "-c", "echo mine > note")
print("folders", (folder / "m1" / "note").read_text().strip(), (folder / "m2" / "note").exists())
print("outside", "unreachable" in says(one, "timeout 1 bash -c '</dev/tcp/192.0.2.1/80'"))
print("plugged in", "refused" in says(one, knock))
two.unplug()
print("unplugged", "refused" in says(one, knock))
two.plug_in()
print("plugged in", "refused" in says(one, knock))
sleeper = two.start("sleep", "1000", environment={}, log=subprocess.DEVNULL)
two.switch_off()
print("switched off", sleeper.wait(5) != 0)
"""


def can_have_machines() -> bool:
    return not subprocess.run([*SPACES, "true"], capture_output=True, check=False).returncode


def test_what_is_equal_but_for_rounding_is_accepted() -> None:
    other = copy.deepcopy(VERDICT) | {"auc": 0.5 + 1e-13}
    assert list(unlike(VERDICT, other)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [(("state",), "crossed"), (("auc",), 0.5001), (("thresholds",), []), (("more",), 1)],
)
def test_what_verdicts_do_not_agree_on_is_named(path: tuple[str, ...], value: Any) -> None:
    other = copy.deepcopy(VERDICT) | {path[0]: value}
    assert list(unlike(other, VERDICT))
    assert list(unlike(VERDICT, other))
    deep = copy.deepcopy(VERDICT)
    deep["thresholds"][0]["value"] = 0.03  # type: ignore[index]
    assert "thresholds 0 value" in next(unlike(deep, VERDICT))


@pytest.mark.parametrize("name", [*vars(Difference(0, 0, 0, 0, 0, 0.0, 0)), "rows", "rejects"])
def test_a_run_that_differs_in_anything_is_a_problem(name: str) -> None:
    same = Difference(0, 0, 0, 0, 0, 1e-15, 0)
    assert Compared("week", (5, 5), (1, 1), same).problems == []
    if name in vars(same):
        spoilt = Compared("week", (5, 5), (1, 1), Difference(**vars(same) | {name: 1}))
    else:
        spoilt = Compared("week", (5, 5), (1, 1), same)
        spoilt = Compared(**vars(spoilt) | {name: (5, 4)})
    assert len(spoilt.problems) == 1


@pytest.mark.slow
def test_runs_over_the_same_shards_elsewhere_are_equal_and_other_images_are_not(
    tmp_path: Path,
) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    write_scenes(here, 12, seed=3, per_shard=6)
    shutil.copytree(here, there)
    extract(plan(f"{here}/*.tar", tmp_path / "one"))
    extract(plan(f"{there}/*.tar", tmp_path / "two"))
    one, two = Run(str(tmp_path / "one")), Run(str(tmp_path / "two"))
    assert difference(one, two).rows_lost == 12
    assert set(vars(difference(one, two, base_name)).values()) == {0}
    fewer = []
    for sample in list(shards.samples(f"{here}/scenes-000000.tar"))[1:]:
        assert isinstance(sample, shards.Sample)
        fewer += [(f"{sample.key}.jpg", sample.image)]
        fewer += [(f"{sample.key}.json", (sample.meta or "").encode())]
    shards.write(f"{there}/scenes-000000.tar", fewer)
    extract(plan(f"{there}/*.tar", two.url, redo_changed=True))
    spoilt = difference(one, two, base_name)
    assert spoilt.rows_lost == 1 and spoilt.moments > 1e-9


def test_where_there_are_no_namespaces_it_says_so() -> None:
    none = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]
    if not can_have_machines() or subprocess.run([*none, "true"], check=False).returncode:
        pytest.skip("only root can give up rights")
    found = subprocess.run(
        [*none, "bash", SCRIPT, "never"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 2 and found.stdout == ""
    assert "needs network namespaces" in found.stderr and found.stderr.count("\n") == 1


def test_machines_are_apart_and_their_cables_can_be_pulled(tmp_path: Path) -> None:
    if not can_have_machines():
        pytest.skip("needs network namespaces")
    command = [*SPACES, sys.executable, "-c", MACHINES, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        "names m1 m2", "folders mine False", "outside True", "plugged in True",
        "unplugged False", "plugged in True", "switched off True",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(1500)
def test_the_proof(tmp_path: Path) -> None:
    if not can_have_machines():
        pytest.skip("needs network namespaces")
    command = ["bash", str(SCRIPT), str(tmp_path / "proof")]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.splitlines()[-1] == "Everything is as in one process."
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert again.returncode == 1 and "earlier proof" in again.stderr
