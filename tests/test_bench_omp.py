"""The sparse codes that `nhd bench omp` times are those of scikit-learn."""

import pytest

from pipelines.bench import omp


@pytest.mark.parametrize("kind", ["random", "coherent"])
def test_supports_agree_with_scikit_learn(kind: omp.Kind) -> None:
    found = omp.agreement(kind, 3000, 8, seed=0)
    assert found.ours == 1 and found.kept


def test_coherent_atoms_are_more_alike_than_random_ones() -> None:
    alike = {}
    for kind in ("random", "coherent"):
        atoms, signals = omp.problem(kind, 200, 5, seed=0)  # type: ignore[arg-type]
        assert signals.shape == (5, omp.WIDTH)
        alike[kind] = float((atoms @ atoms.T).fill_diagonal_(0).abs().mean())
    assert alike["coherent"] > 3 * alike["random"]
