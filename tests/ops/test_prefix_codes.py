"""One code of many atoms gives the codes of fewer: matching pursuit never looks back."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from nhd_ops import prefix_codes
from nhd_ops.prefix_codes import prefix_projections
from nhd_ops.sparse_code import omp
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close
SIGNALS, ATOMS = random_world.unit(23, 12, seed=1), random_world.unit(40, 12, seed=2)
SIZES = [1, 2, 5, 12]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setattr(prefix_codes, "SIGNALS_AT_ONCE", 10)
    return prefix_projections(SIGNALS, ATOMS, omp(SIGNALS, ATOMS, 12).indices, SIZES)


def test_prefixes_rebuild_what_separate_runs_do(found):
    for size, projected in zip(SIZES, found, strict=True):
        own = omp(SIGNALS, ATOMS, size)
        close(projected, torch.einsum("nm,nmd->nd", own.coefficients, ATOMS[own.indices]))
        for signal, one in zip(SIGNALS[:5], projected, strict=False):
            close(one, reference.prefix_projection(signal, ATOMS, size))


def test_rank_1_on_the_normalised_code_is_the_projection(found):
    """So M' needs nothing but the projections of u: ⟨u, d⟩ d = P u."""
    for projected in found:
        d = normalize(projected, dim=1)
        close((SIGNALS * d).sum(1, keepdim=True) * d, projected)


def test_as_many_atoms_as_dimensions_are_the_identity(found):
    close(found[-1], SIGNALS)


def test_codes_that_end_early_keep_what_they_have():
    signals = torch.stack([ATOMS[3], 2 * ATOMS[5] - ATOMS[9], torch.zeros(12).double()])
    indices = omp(signals, ATOMS, 6).indices
    assert (indices[0, 1:] == -1).all() and (indices[2] == -1).all()
    found = prefix_projections(signals, ATOMS, indices, [1, 6])
    close(found[0, 0], ATOMS[3])
    close(found[1], signals)


def test_what_has_no_prefix_is_refused():
    indices = omp(SIGNALS, ATOMS, 4).indices
    for sizes in ([4, 2], [2, 5]):
        with pytest.raises(ValueError, match="must ascend"):
            prefix_projections(SIGNALS, ATOMS, indices, sizes)
    with pytest.raises(ValueError, match="ask for fewer"):
        prefix_projections(SIGNALS[:, :3], ATOMS[:, :3], indices, [4])
