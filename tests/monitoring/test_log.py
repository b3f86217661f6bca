"""With NHD_LOG=json every line is one JSON object that says whose it is, and none has a secret."""

import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli import main
from pipelines.io.store import Run
from pipelines.run import log

EXTRACT = ["extract", "--pretrained", "none", "--batch-size", "16", "--in-process"]


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def own_streams(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a test makes of the streams and of the context ends with it."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(log, "_context", {})


def run(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    found = capsys.readouterr()
    return code, parsed(found.out), parsed(found.err)


@given(
    lines=st.lists(st.text(st.characters(blacklist_characters="\n\r")).filter(str.strip)),
    cuts=st.lists(st.integers(0, 200)),
)
def test_however_text_is_cut_each_line_is_one_object(lines: list[str], cuts: list[int]) -> None:
    below = io.StringIO()
    stream, text = log.Lines(below), "".join(line + "\n" for line in lines)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for start, end in itertools.pairwise(places):
        stream.write(text[start:end])
    # Not splitlines, which knows more ends of lines than JSON's writer escapes.
    found = [json.loads(line) for line in below.getvalue().split("\n") if line]
    assert [one["message"] for one in found] == lines


def test_a_run_tells_of_each_shard_and_whose_it_is(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The numbers of the events are those of the commit records."""
    monkeypatch.setenv("NHD_LOG", "json")
    out = str(tmp_path / "run")
    code, printed, _ = run(capsys, [*EXTRACT, "--data", scenes, "--out", out])
    assert code == 0
    records = {record["shard"]: record for record in Run(out).records()}
    for name in ("shard_started", "shard_done", "shard_committed"):
        assert {one["shard"] for one in printed if one.get("event") == name} == records.keys()
    for one in printed:
        if one.get("event") in ("shard_done", "shard_committed"):
            assert (one["run"], one["kind"]) == (Run(out).info["run_id"], "extract")
            record = records[one["shard"]]
            assert all(one[name] == record[name] for name in ("written", "rejected"))
    assert all(
        {"time", "level", "source", "host", "pid", "message"} <= one.keys() for one in printed
    )


def test_a_shard_that_fails_is_an_error_and_so_is_the_last_sentence(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("NHD_LOG", "json")
    monkeypatch.setenv("STORE_TOKEN", "hunter2hunter2")
    damaged = tmp_path / "hunter2hunter2.tar"
    damaged.write_bytes(b"no tar" * 200)
    whole = [*EXTRACT, "--data", f"{scenes},{damaged}", "--out", str(tmp_path / "run")]
    code, printed, said = run(capsys, whole)
    assert code == 3
    events = [one["event"] for one in printed if one["level"] == "error"]
    assert set(events) == {"shard_failed", "shard_given_up"}
    assert [one["level"] for one in said][-1] == "error" and "1 of 4 shards" in said[-1]["message"]
    assert "hunter2" not in json.dumps([printed, said])


def test_a_document_that_was_asked_for_stays_one(
    dense_run: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("NHD_LOG", "json")
    main(["status", "--run", dense_run, "--json"])
    assert json.loads(capsys.readouterr().out)["complete"]


def test_text_stays_text_and_another_word_is_refused(
    dense_run: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    main(["status", "--run", dense_run])
    assert capsys.readouterr().out.startswith(dense_run)
    monkeypatch.setenv("NHD_LOG", "xml")
    with pytest.raises(SystemExit) as end:
        main(["status", "--run", dense_run])
    assert end.value.code == 2 and "text or json" in capsys.readouterr().err
