"""What `nhd bench` measures, and the promises it is held to."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bench import bench, schedule_simulation
from pipelines.bench.compute import Setup
from pipelines.bench.faults import soak
from pipelines.bench.gpu import on_device
from pipelines.bench.memory import memory
from pipelines.bench.result import Result, table
from pipelines.bench.scale import GPUS, IMAGES, Extraction, tables
from pipelines.bench.schedule import driver
from pipelines.bench.schedule_simulation import EQUAL, OURS, RULES, lognormal, pareto, simulate
from pipelines.bench.storage import rows
from pipelines.errors import UsageError
from pipelines.extract.groups import groups_of

works = st.lists(st.floats(0.01, 100), min_size=1, max_size=50)


@pytest.mark.soak
@pytest.mark.timeout(4000)
def test_200_shards_whatever_is_killed(tmp_path: Path) -> None:
    done = soak(str(tmp_path))
    print("\n".join([*done.lines(), *table(done.results())]))
    assert all(result.kept for result in done.results())
    assert min(done.kills[kind] for kind in ("worker", "node", "driver")) >= 1


@pytest.mark.soak
@pytest.mark.timeout(4000)
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    results = memory(str(tmp_path))
    print("\n".join(table(results)))
    assert all(result.kept for result in results)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        bench(["memory"], str(tmp_path), None, 0)


@given(works, st.integers(1, 8))
def test_no_run_is_shorter_than_its_work_or_its_longest_group(
    work: list[float], workers: int
) -> None:
    ideal = sum(work) / workers
    found = simulate(work, workers)
    makespan = found.makespan * ideal
    assert makespan >= max(ideal, *work, 0) * (1 - 1e-9)
    assert makespan <= (ideal + max(work)) * (1 + 1e-9)  # Graham 1966
    assert makespan * workers * (1 - found.idle) == pytest.approx(sum(work))


@given(works, st.floats(0, 5))
def test_one_worker_does_all_the_work(work: list[float], commit: float) -> None:
    found = simulate(work, 1, commit)
    assert found.makespan * sum(work) == pytest.approx(sum(work) + commit * len(work))
    assert found.idle == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_leases_all_work(rule: str) -> None:
    for draw in (lognormal, pareto):
        assert sum(RULES[rule](draw(0))) == pytest.approx(schedule_simulation.SHARDS)


@pytest.mark.parametrize("commit", [0.0, schedule_simulation.COMMIT])
def test_our_rule_is_quicker_than_equal_groups(commit: float) -> None:
    for draw in (lognormal, pareto):
        sizes = draw(7)
        ours, equal = (simulate(RULES[name](sizes), 256, commit) for name in (OURS, EQUAL))
        assert ours.makespan < equal.makespan


@pytest.mark.parametrize(("images", "gpus"), [(1_000_000, 8), (20_000_000, 256)])
def test_scale_counts_the_groups_that_are_made(images: int, gpus: int) -> None:
    run = Extraction(images, gpus)
    names = [str(i) for i in range(run.shards)]
    groups = groups_of([(n, "") for n in names], dict.fromkeys(names, 1.0), gpus, run.full)
    assert run.groups == pytest.approx(len(groups), rel=0.1)


def test_scale_is_consistent() -> None:
    for images in IMAGES:
        one, *others = [Extraction(images, gpus) for gpus in GPUS]
        for many in others:
            assert many.model * many.gpus == pytest.approx(one.model)
            assert many.seconds < one.seconds
            assert many.cost >= one.cost * 0.999, "more GPUs are quicker, never cheaper"
    assert [len(text.splitlines()) for text in tables()] == [12, 12, 5]


def test_the_page_on_scale_has_the_tables_of_today() -> None:
    page = Path(__file__).parents[1].joinpath("infra/scale.md").read_text()
    assert all(text in page for text in tables())


def test_rows_of_rn50x16_keep_their_promise(tmp_path: Path) -> None:
    (found,) = rows(str(tmp_path), seed=0, images=50)
    assert found.kept


@pytest.mark.slow
def test_the_driver_keeps_its_promises(tmp_path: Path) -> None:
    results = driver(str(tmp_path))
    print("\n".join(table(results)))
    assert all(result.kept for result in results)


def test_the_gpus_rows_on_a_cpu() -> None:
    """The same code on the tiny model; what it finds here says nothing of a GPU."""
    setup = Setup("tiny", "float32", "cpu", batch=4, batches=1, concepts=("yellow", "car"))
    rows = on_device(setup, seed=0, compiled=False, side=256)
    against = {row.against for row in rows}
    assert {"of encode_image", "of encode_image, channels last"} <= against
    assert all(row.ours > 0 and row.ratio is not None for row in rows)


def test_json_has_what_scripts_lean_on(tmp_path: Path) -> None:
    bench(["start"], None, str(tmp_path / "found.json"), 0)
    (row,) = json.loads((tmp_path / "found.json").read_text())
    assert {"name", "ours", "theirs", "unit", "ratio", "low", "high", "target"} <= row.keys()
    assert row["low"] <= row["ours"] <= row["high"] and row["target"] == 0.5


def test_promises_are_held_in_both_directions() -> None:
    assert Result("speed", 3, "", ratio=1.2, least=1).kept
    assert not Result("speed", 3, "", ratio=0.9, least=1).kept
    assert not Result("memory", 3, "", ratio=1.2, most=1.05).kept
    assert Result("bytes", 3, "", most=3).kept and not Result("bytes", 4, "", most=3).kept
