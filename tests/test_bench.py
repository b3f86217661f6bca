"""What `nhd bench` measures, and the promises it is held to."""

from pathlib import Path

import pytest

from pipelines.bench import bench
from pipelines.bench.faults import soak
from pipelines.bench.memory import memory
from pipelines.bench.result import table
from pipelines.errors import UsageError


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
