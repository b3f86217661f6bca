"""What `nhd submit` makes of its arguments, before and without a cluster."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest

import jobs.commands
from jobs import sent as sending
from jobs.audit.read import read_settings
from jobs.audit.written import written
from jobs.commands.submit import Submit
from jobs.sent import sent
from jobs.submission import arranged, parsed, request
from pipelines.errors import UsageError
from pipelines.submit.job import Driver
from tests.jobs.test_cli import nhd

COMMANDS = {get_args(one)[0] for one in get_args(jobs.commands.Command)} - {Submit}
NO_FILES = {
    "model", "pretrained", "columns", "labels", "buckets", "by", "values", "cluster", "atoms",
    "truth", "methods", "top_pairs", "scales", "boost", "name", "images", "effects", "of", "sql",
    "pair", "concept", "command", "device", "dtype", "job", "address",
}  # fmt: skip


def asked(*command: str, **more: Any) -> Any:
    """The request that these arguments make."""
    return request(Submit(command=command, **more))


@pytest.mark.parametrize(
    "words",
    [
        "--address A --no-wait extract --data a --out b",
        "extract --data a --address A --out b --no-wait",
        "extract --data a --out b --no_wait --address=A",
    ],
)
def test_submits_own_flags_may_be_anywhere(words: str) -> None:
    found = arranged(words.split(), Submit)
    own, inner = found[: found.index("--")], found[found.index("--") + 1 :]
    assert inner == ["extract", "--data", "a", "--out", "b"]
    assert set(own) in ({"--address", "A", "--no-wait"}, {"--no_wait", "--address=A"})


def test_behind_two_dashes_all_is_the_commands() -> None:
    found = arranged(["--id", "x", "--", "extract", "--id", "y", "--", "z"], Submit)
    assert found == ["--id", "x", "--", "extract", "--id", "y", "--", "z"]
    assert arranged(["fit", "--debug", "--run", "x"], Submit)[1:] == [
        "fit",
        "--run",
        "x",
        "--debug",
    ]
    assert arranged(["--attach", "x", "--debug"], Submit) == ["--attach", "x"]


def test_no_command_has_a_flag_of_submits() -> None:
    own = {field.name for field in dataclasses.fields(Submit)} - {"command"}
    for command in COMMANDS:
        common = own & set(_flags(command))
        assert common == ({"address"} if command.__name__ == "Status" else set()), command


def test_of_every_text_it_is_known_whether_it_names_a_file() -> None:
    known = sending.TEXTS | sending.PATTERNS | sending.PLACES | NO_FILES | {"config"}
    for command in COMMANDS:
        for name, kind in _flags(command).items():
            if kind in (str, str | None):
                assert name in known, f"{command.__name__}: is {name} a file?"


def _flags(command: Any) -> dict[str, Any]:
    """Name → type, also of what is nested."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(command):
        if dataclasses.is_dataclass(field.type):
            found |= _flags(field.type)
        else:
            found[field.name] = field.type
    return found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["extract", "--out", "/tmp/x"], "--data"),
        (["extract", "--dat", "x", "--out", "/tmp/x"], "--dat"),
        (["nonsense"], "nonsense"),
        (["submit", "fit"], "cannot submit itself"),
        ([], "give one of a command to submit, --attach and --cancel"),
        (["--attach", "x", "--cancel", "y"], "give one of"),
        (["--retries", "2", "--no-wait", "fit", "--run", "/x"], "leave out --no-wait"),
        (["--retries", "-1", "fit", "--run", "/x"], "--retries must not be negative"),
        (["--id", "a/b", "fit", "--run", "/x"], "--id is 'a/b'"),
        (["--env", "AWS_SECRET_ACCESS_KEY=abc", "fit", "--run", "/x"], "instance role"),
        (["--env", "ENDPOINT=http://me:word@host", "fit", "--run", "/x"], "instance role"),
        (["--env", "NOT_SET_ANYWHERE", "fit", "--run", "/x"], "no such variable"),
        (["--driver", "gpu=1", "fit", "--run", "/x"], "'gpu' would be a resource of the cluster's"),
        (["--driver", "cpus=-1", "fit", "--run", "/x"], "takes amounts from 0 on"),
        (["--driver", "big", "fit", "--run", "/x"], "--driver takes"),
        (["extract", "--data", "http://h/a.tar?sig=abc", "--out", "/x"], "@shards.txt"),
        (["extract", "--data", "@/nowhere.txt", "--out", "/x"], "/nowhere.txt cannot be read"),
        (["audit", "--config", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
        (["fit", "--run", "/x", "--words", "no.txt"], "no.txt cannot be read"),
        (["--address", "ray://head:10001", "fit", "--run", "/x"], "jobs are taken at http"),
    ],
)
def test_what_is_wrong_ends_with_2_before_anything_is_sent(arguments: list[str], says: str) -> None:
    found = nhd("submit", "--address", "http://127.0.0.1:9", *arguments)  # nobody is there: 3
    assert found.returncode == 2
    text = " ".join((found.stdout + found.stderr).split())
    assert says in text and "abc" not in text and "word@" not in text


def test_a_variable_is_taken_by_name_or_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    found, _ = asked("fit", "--run", "s3://b/run", env=("AWS_REGION", "NHD_LOG=json"))
    assert found.env == {"AWS_REGION": "eu-north-1", "NHD_LOG": "json"}


def test_what_the_driver_needs_is_given_by_name() -> None:
    found, _ = asked("fit", "--run", "s3://b/run", driver="cpus=4, memory=0.5,big=1")
    assert found.driver == Driver(4, 0, 2**19, {"big": 1})


def test_a_flag_that_is_given_twice_is_moved_twice() -> None:
    found, _ = asked("fit", "--run", "a", "--run=b")  # the last one counts
    assert shlex.split(found.entrypoint)[5:] == [f"{Path.cwd()}/b", f"--run={Path.cwd()}/b"]


def test_small_files_go_along_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    for name in ("concepts.txt", "more/concepts.txt", "secret.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "list.txt").write_text("a/{0..3}.tar\n# b\ns3://bucket/c.tar\n")
    found, with_it = asked(
        "extract", "--data", "@list.txt", "--out=run", "--concepts", "more/concepts.txt",
        "--columns", "secret.txt", "--lens", "s3://bucket/lens",
    )  # fmt: skip
    words = shlex.split(found.entrypoint)[4:]
    assert words[:2] == ["--data", "@sent/list.txt"] and words[2] == f"--out={tmp_path}/run"
    assert words[3:5] == ["--concepts", "sent/concepts.txt"]
    assert words[7:] == ["--lens", "s3://bucket/lens"]
    assert found.files == {
        "sent/list.txt": f"{tmp_path}/a/{{0..3}}.tar\n# b\ns3://bucket/c.tar\n".encode(),
        "sent/concepts.txt": b"more/concepts.txt\n",
    }
    assert with_it.shared == [f"{tmp_path}/a/{{0..3}}.tar", f"{tmp_path}/run"]
    assert asked("demo")[0].entrypoint.endswith(f"demo --out {tmp_path}/demo")
    both = sent(("x",), parsed(("fit", "--run", "s3://b/r", "--words", "concepts.txt")))
    assert both.file(f"{tmp_path}/more/concepts.txt") == "sent/2-concepts.txt"


def test_large_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"word\n" * (sending.LIMIT // 5 + 1))
    with pytest.raises(UsageError, match="more than 10 MiB to be sent"):
        asked("fit", "--run", "s3://b/r", "--words", f"{tmp_path}/words.txt")


SMALL = """
audit: weekly
out: series
input: "a.tar"
concepts: [yellow]
baseline: {{previous: true}}
notify: {{command: {words}}}
"""
AUDIT = """
audit: weekly
out: {out}
input: "@shards.txt"
name: "{{week}}"
model: {{name: RN50, pretrained: openai, checkpoint: w.pt}}
concepts: concepts.txt
labels: [yellow]
baseline: {{reference: "ref/{{0..1}}.tar", previous: true}}
lens: {{calibrate: {{words: words.txt}}}}
thresholds:
  auc: off
  concepts: {{default: 0.3, a car: off}}
  pairs: {{reds: {{limit: off, neurons: [1, 2]}}}}
schedule: {{spending: forever}}
run: {{batch_size: 8}}
"""


@pytest.mark.parametrize(
    ("command", "there", "goes", "stays"),
    [
        (["./hook", "csv"], ["{node}/hook", "csv"], ["hook"], []),
        (["python", "-u", "tell.py"], ["python", "-u", "{node}/tell.py"], ["tell.py"], []),
        (["python", "/opt/no.py"], ["python", "/opt/no.py"], [], ["/opt/no.py"]),
        (["{here}/program", "x"], ["{here}/program", "x"], [], ["{here}/program"]),
        (["tell.py", "-c", "cat a.py"], ["tell.py", "-c", "cat a.py"], [], []),  # on the PATH
    ],
)
def test_an_audits_hook_is_what_it_was_over_there(
    tmp_path: Path, command: list[str], there: list[str], goes: list[str], stays: list[str]
) -> None:
    """A script goes along, other programs are those of the nodes."""
    here, node = tmp_path / "here", tmp_path / "sent"
    here.mkdir(), node.mkdir()
    (here / "hook").write_text("#!/bin/sh\n")
    (here / "tell.py").write_text("print(1)\n")
    (here / "program").write_bytes(b"\x7fELF")
    words = json.dumps([word.format(here=here) for word in command])
    config = here / "audit.yaml"
    config.write_text(SMALL.format(words=words))
    found, with_it = asked("audit", "--config", str(config))
    assert set(found.files) == {"sent/audit.yaml", *(f"sent/{name}" for name in goes)}
    assert [path for path in with_it.shared if "series" not in path and "tar" not in path] == [
        path.format(here=here) for path in stays
    ]
    for name, content in found.files.items():
        (tmp_path / name).write_bytes(content)
    told = read_settings(f"{node}/audit.yaml").notify.command
    assert told == tuple(word.format(here=here, node=node) for word in there)


def test_a_hooks_script_that_is_not_there_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "audit.yaml"
    config.write_text(SMALL.format(words="[python, no.py]"))
    with pytest.raises(UsageError, match=r"names no\.py, which is not beside that file"):
        asked("audit", "--config", str(config))


def test_an_audits_configuration_means_the_same_over_there(tmp_path: Path) -> None:
    (tmp_path / "shards.txt").write_text("a.tar\n")
    (tmp_path / "concepts.txt").write_text("yellow\na car\n")
    (tmp_path / "words.txt").write_text("red\n")
    config = tmp_path / "audit.yaml"
    config.write_text(AUDIT.format(out="series"))
    here = read_settings(str(config))
    found, _ = asked("audit", "--config", str(config))
    assert found.entrypoint.endswith("audit --config sent/audit.yaml")
    assert set(found.files) == {f"sent/{n}" for n in ("audit.yaml", "shards.txt", "words.txt")}
    for name, content in found.files.items():
        (tmp_path / "node" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "node" / name).write_bytes(content)
    there = read_settings(f"{tmp_path}/node/sent/audit.yaml")
    moved = {"input": f"@{tmp_path}/node/sent/shards.txt", "lens": there.lens}
    assert there == dataclasses.replace(here, **moved)  # type: ignore[arg-type]
    assert there.name == here.name and "{" not in there.name
    again = tmp_path / "again.yaml"
    again.write_text(written(there))
    assert read_settings(str(again)) == there
