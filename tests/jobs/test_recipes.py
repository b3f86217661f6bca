"""Recipes: errors name their line, printed commands parse, what is done is not done again."""

import shlex
from pathlib import Path

import pytest
import tyro

from jobs.cli import main
from jobs.commands import Command
from jobs.commands.extract import Extract
from jobs.recipes.recipe import Recipe, packaged, parse, read_recipe
from jobs.recipes.steps import build, command_line, commands
from pipelines.errors import UsageError

PLACES = {"source": "/data/it's here", "out": "/results/two words"}
LATER = {"evaluate", "explain", "segment"}  # steps of the recipes that other changes add


def parsed(words: list[str]) -> object:
    """The command that a command line means."""
    return tyro.cli(Command, args=words, config=(tyro.conf.OmitArgPrefixes,))  # type: ignore[arg-type]


def one(line: str) -> Recipe:
    """A recipe of one step."""
    return parse(f"title: one\nsteps:\n  - {line}\n", "one.yaml")


STEPS = [(name, i) for name in packaged() for i in range(len(read_recipe(name).steps))]


@pytest.mark.parametrize(("name", "index"), STEPS)
def test_every_step_of_the_packaged_recipes_is_a_command(name: str, index: int) -> None:
    recipe = read_recipe(name)
    step = recipe.steps[index]
    if step.command in LATER and step.command not in commands():
        pytest.skip(f"nhd {step.command} does not exist yet")
    built = build(recipe, step, PLACES, {})
    line = shlex.join(command_line(built))
    assert parsed(shlex.split(line)) == built
    assert "{out}" not in line and "{source}" not in line


def test_there_is_a_recipe_for_every_dataset_and_for_scenes() -> None:
    from pipelines.datasets.registry import READERS

    assert set(packaged()) == {*READERS, "scenes"}
    for name in READERS:
        recipe = read_recipe(name)
        assert recipe.steps[0].command == "prepare"
        assert recipe.steps[0].arguments["dataset"].value == name
        assert recipe.download and recipe.expect


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: t\nsteps:\n - fitt: {run: x}", "line 3: nhd has no command 'fitt'.*mean 'fit'"),
        ("title: t\nsteps:\n - fit:\n     run: x\n     word: y", "line 5: .*no 'word'.*'words'"),
        ("title: t\nsteps:\n - fit:\n     run: x\n     atoms: many", "line 5: .*'many' is no int"),
        ("title: t\nsteps:\n - fit:\n     fit-on: 3\n     run: x", "line 4: .*none of all, top50"),
        ("title: t\nsteps:\n - fit: {words: y}", "line 3: nhd fit needs 'run'"),
        ("title: t\nsteps:\n - fit: {run: x, templates: 1}", "line 3: .*'1' is no bool"),
        ("title: t\nsteps:\n - fit: {run: '{source}'}", "line 3: .*the recipe needs --source"),
        ("title: t\nsteps:\n - reproduce: {recipe: x}", "line 3: nhd has no command 'reproduce'"),
    ],
)
def test_wrong_steps_are_refused_with_their_line(text: str, says: str) -> None:
    recipe = parse(text, "mine.yaml")
    with pytest.raises(UsageError, match=f"mine.yaml, {says}"):
        build(recipe, recipe.steps[0], {"source": None, "out": "o"}, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: t\nsteps: [\n", "line 3: no YAML"),
        ("title: t\nstep: []", "line 2: the recipe has no 'step'; did you mean 'steps'"),
        ("title: t\n", "line 1: the recipe has no 'steps'"),
        ("title: t\nsteps: []", "line 2: the recipe has no steps"),
        ("title: t\nsteps: {a: b}", "line 2: a list is needed"),
        ("title: t\nsteps:\n - ? [a, b]\n   : {}", "line 3: a step must be of the form"),
        ("- fit", "line 1: the recipe must be of the form"),
        ("title: t\nsteps:\n - fit", "line 3: a step must be of the form"),
        ("title: t\nsteps:\n - fit: {}\n   status: {}", "line 3: a step is one command"),
        ("title: t\nsteps:\n - fit: {run: a, run: b}", "line 3: 'run' is given twice"),
        ("title: t\nexpect:\n - number: 3\nsteps:\n - fit: {}", "line 3: .*no 'number'"),
        ("title: t\nsteps:\n - fit: {run: !!python/name:os.system x}", "line 3: no YAML"),
        ("", "line 1: the recipe must be"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"mine.yaml, {says}"):
        parse(text, "mine.yaml")


def test_what_the_user_chooses_replaces_the_recipes_choice() -> None:
    recipe = one("extract: {data: d, out: o, model: RN50x16, pretrained: openai, labels: [a, b]}")

    def built(**chosen: object) -> Extract:
        return build(recipe, recipe.steps[0], PLACES, chosen)  # type: ignore[return-value]

    assert built() == Extract(data="d", out="o", model="RN50x16", pretrained="openai", labels="a,b")
    local = built(checkpoint="w.pt", limit=3)
    assert (local.model, local.pretrained, local.checkpoint) == ("RN50x16", None, "w.pt")
    tiny = built(model="tiny", in_process=True)
    assert (tiny.model, tiny.pretrained, tiny.in_process) == ("tiny", None, True)


def test_a_command_line_says_what_differs_and_parses_back() -> None:
    for command in (
        Extract(data="a b/{00..3}.tar", out="-o", in_process=True, top_pairs=7, lease_timeout=1.5),
        Extract(data="d", out="o", keep="dense", concepts='it\'s,"two"', model="RN50"),
    ):
        line = shlex.join(command_line(command))
        assert parsed(shlex.split(line)) == command
        assert "--workers" not in line


def test_a_dry_run_prints_the_commands_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "title: Mine\nsteps:\n"
        '  - prepare: {dataset: cars, source: "{source}", out: "{out}/shards"}\n'
        '  - extract: {data: "{out}/shards/*.tar", out: "{out}/run", pretrained: none}\n'
    )
    out = tmp_path / "it is"
    main(["reproduce", str(own), "--source", "/s", "--out", str(out), "--limit", "9", "--dry-run"])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "# Mine" and not out.exists()
    prepare, extract = (parsed(shlex.split(line)[1:]) for line in lines)
    assert prepare.limit == 9 and prepare.source == "/s"  # type: ignore[attr-defined]
    assert extract.data == f"{out}/shards/*.tar"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scene", "--out", "o"], "there is no recipe 'scene'; did you mean 'scenes'?"),
        (["/nowhere.yaml", "--out", "o"], "the recipe /nowhere.yaml cannot be read"),
        (["scenes", "--out", "o", "--limit", "5"], "prepares no dataset; leave --limit out"),
    ],
)
def test_unknown_recipes_are_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *arguments])
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_a_study_goes_on_where_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, out = tmp_path / "own.yaml", tmp_path / "out"
    own.write_text(
        "title: Mine\nexpect: [{what: the number, paper: 3, see: run}]\nsteps:\n"
        '  - scenes: {out: "{out}/scenes", count: 12, per-shard: 6, size: 64}\n'
        '  - extract: {data: "{out}/scenes/*.tar", out: "{out}/run", labels: [yellow]}\n'
        '  - status: {run: "{out}/run", check: true}\n'
    )
    command = ["reproduce", str(own), "--out", str(out), "--pretrained", "none", "--in-process"]
    (out / "run").mkdir(parents=True)
    (out / "run" / "run.json").write_text("[]")  # no run folder that could be resumed
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code != 0
    written = {path: path.stat().st_mtime_ns for path in out.glob("scenes/*.tar")}
    assert len(written) == 2
    (out / "run" / "run.json").unlink()
    capsys.readouterr()
    main(command)
    said = capsys.readouterr().out
    assert "[done] nhd scenes" in said and "[done] nhd extract" not in said
    assert "the number: the paper has 3; ours: run" in said
    assert {path: path.stat().st_mtime_ns for path in out.glob("scenes/*.tar")} == written
    main(command)
    assert "[done] nhd status" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*command, "--source", "/s"])
    assert ended.value.code == 2 and "leave --source out" in capsys.readouterr().err
