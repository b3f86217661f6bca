"""A lens comes back as it was written, and a damaged one is refused."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from nhd_ops.grounded import Grounded, scores
from pipelines.errors import UsageError
from pipelines.lens.lens import Lens, read_lens, write_lens

EMPTY = pa.table({"pair": pa.array([], pa.int32())})


def some_lens(heads: int = 2, neurons: int = 5) -> Lens:
    """A lens of random numbers with three concepts."""
    g = torch.Generator().manual_seed(0)
    mean, deviation = torch.rand(2, heads, neurons, generator=g)
    signs = torch.ones(heads, neurons)
    pairs = torch.randint(heads * neurons, (3, 2), generator=g)
    grounded = Grounded(pairs.flip(1), torch.rand(3, 2, generator=g))
    info = {"concepts": [{"slug": s, "text": s} for s in ("red", "blue", "car")]}
    return Lens(info, mean, deviation, signs, pairs, grounded)


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = write_lens(f"{tmp_path}/lens", some_lens(), EMPTY, EMPTY)
    found = read_lens(f"{tmp_path}/lens")
    assert found.info == made.info
    assert found.texts == ("red", "blue", "car")
    for name in ("mean", "deviation", "signs", "pairs"):
        assert torch.equal(getattr(found, name), getattr(made, name)), name
    assert all(torch.equal(a, b) for a, b in zip(found.grounded, made.grounded, strict=True))


def test_other_numbers_have_another_id(tmp_path: Path) -> None:
    one = some_lens()
    other = Lens(one.info, one.mean + 1, one.deviation, one.signs, one.pairs, one.grounded)
    ids = {
        write_lens(f"{tmp_path}/{i}", lens, EMPTY, EMPTY).id for i, lens in enumerate([one, other])
    }
    assert len(ids) == 2


def test_damage_is_refused(tmp_path: Path) -> None:
    write_lens(f"{tmp_path}/lens", some_lens(), EMPTY, EMPTY)
    path = tmp_path / "lens" / "lens.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(UsageError, match="damaged"):
        read_lens(f"{tmp_path}/lens")
    with pytest.raises(UsageError, match="nhd calibrate"):
        read_lens(f"{tmp_path}/nothing")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("lens.json", b"{", "damaged"),
        ("lens.json", b"[]", "damaged"),
        ("lens.json", b'{"schema_version": 1}', "damaged"),
        ("lens.json", b'{"schema_version": 99, "id": ""}', "schema version 99"),
        ("lens.safetensors", None, "no lens.safetensors"),
    ],
)
def test_files_that_are_none_of_a_lens_are_refused(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    write_lens(f"{tmp_path}/lens", some_lens(), EMPTY, EMPTY)
    path = tmp_path / "lens" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError, match=told):
        read_lens(f"{tmp_path}/lens")


def test_scores_are_the_literal_sum() -> None:
    lens = some_lens()
    deviation = lens.deviation.clone()
    deviation[0, int(lens.grounded.pairs[0, 0]) % 5] = 0.0
    coefficients = torch.rand(4, 2, 5, generator=torch.Generator().manual_seed(1))
    found = scores(coefficients, lens.grounded, lens.mean, deviation)
    for image in range(4):
        for concept in range(3):
            expected = 0.0
            for pair, weight in zip(*(part[concept] for part in lens.grounded), strict=True):
                head, neuron = divmod(int(pair), 5)
                if deviation[head, neuron] > 0:
                    gap = coefficients[image, head, neuron] - lens.mean[head, neuron]
                    expected += float(weight * gap / deviation[head, neuron])
            assert abs(float(found[image, concept]) - expected) < 1e-5
