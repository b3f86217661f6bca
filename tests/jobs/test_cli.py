"""The command line: the right exit code and one sentence for every way a command can end."""

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import jobs.commands
from jobs.cli import main
from pipelines.io import shards
from pipelines.io.listing import expand


def nhd(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process, which saves it the imports."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as users run it."""
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


def extract(data: str, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return nhd(
        "extract", "--data", data, "--out", str(out), "--pretrained", "none", "--in-process", *more
    )


def test_help_names_every_command() -> None:
    found = process("--help")
    assert found.returncode == 0
    files = Path(jobs.commands.__file__).parent.glob("[a-z]*.py")
    commands = {path.stem for path in files}
    assert len(commands) > 7
    for command in commands:
        assert command in found.stdout


def test_extract_status_and_compare_through_the_command_line(scenes: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = extract(scenes, run, "--concepts", "yellow,car", "--columns", "source")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0] == "3 shards"
    assert "90 images written, 0 rejected, of 90 read" in found.stdout
    state = json.loads(nhd("status", "--run", str(run), "--json").stdout)
    assert state["complete"] and state["written"] == 90 and state["shards"]["waiting"] == 0
    assert "90 images written" in nhd("status", "--run", str(run)).stdout
    again = nhd("compare", "--baseline", str(run), "--current", str(run), "--out", f"{tmp_path}/c")
    assert again.returncode == 0, again.stderr
    assert "None of 2 concepts changed" in again.stdout
    findings = json.loads((tmp_path / "c" / "findings.json").read_text())
    assert not [f for f in findings if f["shifted"]]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["extract", "--data", "/nowhere/*.tar", "--out", "/tmp/x"], 2, "no shard matches"),
        (["extract", "--out", "/tmp/x"], 2, "--data"),
        (["fit", "--run", "/nowhere"], 2, "is not a run folder"),
        (["status", "--run", "/nowhere"], 2, "is not a run folder"),
        (["status", "--job", "x", "--check"], 2, "give it with --run"),
        (["compare", "--out", "/tmp/x"], 2, "give either --baseline and --current"),
        (["scenes", "--out", "/tmp/x", "--count", "1", "--boost", "gold=2"], 2, "boost names"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_sentence(
    arguments: list[str], code: int, says: str
) -> None:
    found = nhd(*arguments)
    assert found.returncode == code
    assert says in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_an_incomplete_run_exits_with_3_and_says_how_to_go_on(scenes: str, tmp_path: Path) -> None:
    good = expand(scenes)[2]
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"this is no tar at all" * 100)
    found = extract(f"{good},{bad}", tmp_path / "run")
    assert found.returncode == 3
    assert f"1 of 2 shards failed, first {bad}" in found.stderr
    assert "run the same command again" in found.stderr
    state = nhd("status", "--run", str(tmp_path / "run"))
    assert "not complete, 1 of 2 shards done" in state.stdout and str(bad) in state.stdout


def test_a_locked_folder_exits_with_4(scenes: str, tmp_path: Path) -> None:
    from pipelines.io.store import Run
    from pipelines.run import lock

    with lock.held(Run(str(tmp_path / "run")), print):
        found = extract(expand(scenes)[2], tmp_path / "run")
    assert found.returncode == 4 and "is being written by process" in found.stderr


def test_concepts_from_a_file_and_shards_from_a_list(scenes: str, tmp_path: Path) -> None:
    (tmp_path / "concepts.txt").write_text("a yellow car\nbrick\n")
    (tmp_path / "shards.txt").write_text(expand(scenes)[2] + "\n")
    found = extract(
        f"@{tmp_path}/shards.txt", tmp_path / "run", "--concepts", f"{tmp_path}/concepts.txt"
    )
    assert found.returncode == 0, found.stderr
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [c["slug"] for c in info["concepts"]] == ["a_yellow_car", "brick"]


def test_scenes_command_writes_what_was_asked(tmp_path: Path) -> None:
    found = nhd(
        "scenes", "--out", str(tmp_path / "s"), "--count", "25", "--seed", "3",
        "--per-shard", "10", "--objects", "1", "--boost", "yellow=50",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    urls = expand(f"{tmp_path}/s/*.tar")
    samples = [s for url in urls for s in shards.samples(url)]
    assert len(urls) == 3 and len(samples) == 25
    assert sum(s.fields["yellow"] for s in samples) >= 15  # type: ignore[union-attr]
    assert all(len(s.fields["objects"]) == 1 for s in samples)  # type: ignore[union-attr]


def test_debug_shows_the_traceback() -> None:
    found = nhd("status", "--run", "/nowhere", "--debug")
    assert found.returncode == 2 and "Traceback" in found.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_ends_with_3_even_while_modules_are_imported(name: str, tmp_path: Path) -> None:
    """Dataclasses are made by `exec`; what passes through it may end a `python -m` by SIGINT."""
    (tmp_path / "stopped.py").write_text(
        "import signal\n"
        "from jobs.cli import main\n"
        "from jobs.commands.status import Status\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # none in the background\n"
        f"text = 'import signal, time; signal.raise_signal(signal.{name}); time.sleep(60)'\n"
        "Status.__call__ = lambda self: exec(text)\n"
        "main(['status', '--run', 'nowhere'])\n"
    )
    command = [sys.executable, "-m", "stopped"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "nhd: stopped; what is committed stays, run the same command to go on\n"


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("jobs.cli", "torch ray open_clip pyarrow pandas"),
        ("pipelines.extract.job, pipelines.run.status", "ray open_clip torchvision"),
        ("pipelines.tiny.dataset", "ray open_clip torch"),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(module: str, unneeded: str) -> None:
    code = f"import sys, {module}; print(*sys.modules.keys() & set('{unneeded}'.split()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
