"""The configuration: errors name file, line and the nearest key; the example covers the schema."""

import dataclasses
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml

from jobs.audit.example import example, write_example
from jobs.audit.read import read_settings, with_defaults
from pipelines.audit.alarms import kinds_of
from pipelines.audit.settings import Calibrated, Settings
from pipelines.errors import UsageError

NEEDED = {
    "audit": "t", "out": "series", "input": "in/*.tar", "concepts": ["yellow", "car"],
    "baseline": {"reference": "ref/*.tar"},
}  # fmt: skip


def file(folder: Path, text: str = "", **changes: Any) -> str:
    """A file with the needed keys, changed, and more text."""
    kept = {k: v for k, v in {**NEEDED, **changes}.items() if v is not None}
    path = folder / "audit.yaml"
    path.write_text(yaml.safe_dump(kept, sort_keys=False) + text)
    return str(path)


def read(folder: Path, text: str = "", **changes: Any) -> Settings:
    return read_settings(file(folder, text, **changes))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("out: [\n", "line 2: no YAML"),
        ("audit: a\nimput: b", "line 2: the audit has no 'imput'; did you mean 'input'"),
        ("- a", "line 1: the audit must be of the form"),
        ("audit: a\nout: b", "line 1: the audit needs 'input'"),
        ("audit: a\naudit: b", "line 2: 'audit' is given twice"),
        ("audit: a\nmodel: {nam: tiny}", "line 2: 'model' has no 'nam'; did you mean 'name'"),
        ("run:\n  workers: many", "line 2: 'workers' needs a whole number, but is 'many'"),
        ("run:\n  in_process: 1", "line 2: 'in_process' needs true or false, but is '1'"),
        ("name: {date}", "line 1: 'name' needs a single value; put it in quotes"),
        ("model: {dtype: float8}", "line 1: 'dtype': 'float8' is none of float32"),
        ("lens: {calibrat: {}}", "line 1: 'lens' has no 'calibrat'; did you mean 'calibrate'"),
        ("thresholds:\n  concept: {}", "line 2: 'thresholds' has no 'concept'; did you mean"),
        ("thresholds:\n  concepts:\n    car: much", "line 3: 'car' needs a number"),
        ("thresholds:\n  pairs:\n    x: {heads: [1]}", "line 3: 'x' needs 'limit'"),
        ("schedule: {spending: evenly}", "line 1: 'spending': 'evenly' is none of even, forever"),
    ],
)
def test_what_has_the_wrong_form_is_refused_with_its_line(
    text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"mine.yaml, {says}"):
        read_settings(str(path))


@pytest.mark.parametrize(
    ("more", "changes", "line", "says"),
    [
        ("thresholds:\n  concepts: {gold: 1}\n", {}, 1, "'gold' is not among the concepts"),
        ("thresholds:\n  concepts:\n    yelow: 1\n", {}, 2, "did you mean 'yellow'"),
        ("labels: [car]\nthresholds: {labels: {tree: 1}}\n", {}, 1, "not among the labels"),
        ("thresholds:\n  concepts:\n    car: 0.05\n", {}, 2, "0.05 lies below compare.floor"),
        ("thresholds:\n  auc: 0.5\n", {}, 1, "must lie above 0.5"),
        ("thresholds:\n  rejects: 2\n", {}, 1, "'rejects' is a share"),
        ("thresholds:\n  pairs:\n    p: {limit: 1}\n", {}, 2, "needs one of pairs, neurons and"),
        (
            "thresholds:\n  pairs:\n    p:\n      limit: 1\n      heads:\n       - 8\n",
            {}, 5, "tiny has heads 0 to 7, so no 8",
        ),
        ("thresholds:\n  pairs: {p: {limit: 1, pairs: [4096]}}\n", {}, 1, "pairs 0 to 4095"),
        ("thresholds:\n  pairs: {p: {limit: 1, neurons: [-1]}}\n", {}, 1, "so no -1"),
        ("lens: none\ncompare:\n  measure: grounded\n", {}, 2, "grounded scores need a lens"),
        ("lens: s3://b/lens\n", {}, -4, "a fixed lens brings its own concepts"),
        ("lens: calibrate\n", {"baseline": {"previous": True}}, 0, "'baseline.reference'"),
        ("", {"baseline": {"reference": "a", "run": "b"}}, -1, "has a reference and a run"),
        ("", {"baseline": {"previous": False}}, -1, "needs a reference, a run, or 'previous"),
        ("compare:\n  cluster: year\n", {}, 1, "'year' is neither auto, none nor shard"),
        ("schedule:\n  false_alarms: 5\n", {}, 1, "must lie between 0 and 1"),
        ("allow_failed_shards: 1\n", {}, 0, "from 0 to below 1"),
        ("name: '{day}'\n", {}, 0, "'name' has no {day}; there are {date} and {week}"),
        ("name: a/b\n", {}, 0, "names a folder"),
        ("labels: [a, a]\n", {}, 0, "'labels' has 'a' twice"),
        (
            "thresholds: {concepts: off, labels: off, auc: off, rejects: off, missing: off}\n",
            {}, 0, "every threshold is off",
        ),
        (
            "thresholds: {concepts: {default: off}, auc: off, rejects: off}\n",
            {}, 0, "or has nothing to watch",
        ),
        ("notify:\n  command: [s3://b/tell.sh]\n", {}, 1, "no program is started from s3://b/tell.sh"),
        (f"name: {'a' * 101}\n", {}, 0, "up to 100 letters"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_its_line(
    more: str, changes: dict[str, Any], line: int, says: str, tmp_path: Path
) -> None:
    path = file(tmp_path, more, **changes)
    first = len(Path(path).read_text().splitlines()) - len(more.splitlines()) + 1
    with pytest.raises(UsageError, match=r"audit\.yaml, line ") as refused:
        read_settings(path)
    assert says in str(refused.value)
    assert f", line {first + line}:" in str(refused.value), Path(path).read_text()


def test_a_file_of_concepts_that_is_not_there_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"audit.yaml, line 4: the file of concepts .*none.txt"):
        read(tmp_path, concepts="none.txt")
    (tmp_path / "some.txt").write_text("yellow\n\na car\n")
    assert read(tmp_path, concepts="some.txt").concepts == ("yellow", "a car")


def test_a_file_that_is_not_there_is_refused_with_the_way_to_an_example() -> None:
    with pytest.raises(UsageError, match=r"no\.yaml cannot be read: .*nhd audit --init writes"):
        read_settings("/nowhere/no.yaml")


def test_names_that_yaml_takes_for_truth_stay_names(tmp_path: Path) -> None:
    text = "concepts: [no, off, yes]\nthresholds:\n  concepts: {default: 1e-1, no: off, off: 2}\n"
    found = read(tmp_path, text, concepts=None)
    assert found.concepts == ("no", "off", "yes")
    assert found.thresholds.concepts == {"default": 0.1, "no": None, "off": 2.0}


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = read(
        tmp_path, input="a/{0..3}.tar,s3://b/{x,y}.tar,/c/*.tar", lens="l", concepts=None,
        baseline={"reference": "@list.txt"}, notify={"command": ["./tell.sh", "./x"]},
        model={"checkpoint": "w.pt"},
    )  # fmt: skip
    here = str(tmp_path)
    assert found.input == f"{here}/a/{{0..3}}.tar,s3://b/{{x,y}}.tar,/c/*.tar"
    assert (found.out, found.fixed_lens) == (f"{here}/series", f"{here}/l")
    assert found.baseline.reference == f"@{here}/list.txt"
    assert found.notify.command == (f"{here}/tell.sh", "./x")
    assert found.model.checkpoint == f"{here}/w.pt"
    (tmp_path / "tell.py").touch()
    command = ["python", "-u", "tell.py", "no.py", "/srv/x", "tell"]
    moved = read(tmp_path, notify={"command": command}).notify.command
    assert moved == ("python", "-u", f"{here}/tell.py", "no.py", "/srv/x", "tell")


def test_the_audit_is_named_by_day_by_week_or_outright(tmp_path: Path) -> None:
    path = file(tmp_path, input="in/{name}/{week}/{date}-{0..9}.tar", name="w{week}")
    now = datetime(2027, 1, 2, tzinfo=UTC)  # which is in the last week of 2026
    found = read_settings(path, now=now)
    assert found.name == "w2026-W53"
    assert found.input.endswith("/in/w2026-W53/2026-W53/2027-01-02-{0..9}.tar")
    assert read_settings(path, "again", now).input.endswith(
        "in/again/2026-W53/2027-01-02-{0..9}.tar"
    )
    with pytest.raises(UsageError, match=r"--name is '\.\./x'"):
        read_settings(path, "../x", now)


def test_a_lens_is_calibrated_by_default_wherever_there_is_a_reference(tmp_path: Path) -> None:
    assert read(tmp_path).calibration is not None
    assert read(tmp_path, lens="none").calibration is None
    assert read(tmp_path, baseline={"previous": True}).calibration is None
    chosen = read(tmp_path, lens={"calibrate": {"candidates": 7}}).calibration
    assert chosen is not None and chosen.candidates == 7


def test_only_what_has_a_threshold_takes_a_part_of_alpha(tmp_path: Path) -> None:
    assert kinds_of(read(tmp_path)) == ("concepts", "auc", "rejects")
    given = {
        "concepts": {"default": "off"},
        "auc": "off",
        "pairs": {"p": {"heads": [1], "limit": 1}},
    }
    found = read(tmp_path, thresholds=given, labels=["a"], columns=["b"])
    assert kinds_of(found) == ("labels", "pairs", "rejects", "missing")


def test_the_example_says_every_key_and_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.yaml"
    write_example(str(path))
    found = read_settings(str(path))
    assert path.read_text() == example() and found.audit
    said = _paths(yaml.safe_load(example()))
    for key in _keys(Settings):
        assert key in said, key
    with pytest.raises(UsageError, match="is there already"):
        write_example(str(path))


def test_the_values_of_the_example_are_the_defaults_unless_it_says_otherwise(
    tmp_path: Path,
) -> None:
    lines = [line for line in example().splitlines() if "(default: none" not in line]
    kept = [line for line in lines if not line.strip().startswith(("my ", "car:", "tree:"))]
    path = tmp_path / "audit.yaml"
    path.write_text("\n".join(kept).replace("  pairs:  ", "  #pairs:"))
    found = read_settings(str(path))
    plain = with_defaults(Settings(found.audit, found.out, found.input))
    given = {"name", "concepts", "baseline", "lens"}
    for field in dataclasses.fields(Settings):
        if field.name not in given:
            assert getattr(found, field.name) == getattr(plain, field.name), field.name
    assert found.lens == Calibrated()


def _paths(value: Any, prefix: str = "") -> set[str]:
    """Every key of a mapping; names of the user's own are stars."""
    if not isinstance(value, dict):
        return set()
    own = prefix == "thresholds.pairs."
    named = [(f"{prefix}{'*' if own else name}", inner) for name, inner in value.items()]
    return {path for path, _ in named}.union(*(_paths(v, f"{path}.") for path, v in named))


def _keys(kind: Any, prefix: str = "") -> list[str]:
    """Every key of the schema."""
    found = []
    for name, hint in get_type_hints(kind).items():
        found.append(f"{prefix}{name}")
        for option in get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
            if dataclasses.is_dataclass(option):
                found += _keys(option, f"{prefix}{name}.")
            elif get_origin(option) is dict and dataclasses.is_dataclass(get_args(option)[1]):
                found += _keys(get_args(option)[1], f"{prefix}{name}.*.")
    return found


def test_naming_a_limit_leaves_the_others(tmp_path: Path) -> None:
    some = read(tmp_path, thresholds={"concepts": {"car": 0.5}})
    assert some.thresholds.concepts == {"default": 0.2, "car": 0.5}
    assert some.thresholds.labels == {"default": 0.2}
    none = read(tmp_path, thresholds={"concepts": {"car": 0.5, "default": "off"}, "labels": "off"})
    assert none.thresholds.concepts == {"default": None, "car": 0.5}
    assert none.thresholds.labels is None
    coarse = read(tmp_path, compare={"floor": 0.3})
    assert coarse.thresholds.concepts == {"default": 0.3}
