"""Batched OMP is scikit-learn's OMP, and behaves at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp

from nhd_ops.best_atom import _candidates, searched
from nhd_ops.sparse_code import omp, prepare_dictionary
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close


def dense(code, atoms):
    """[N,K] of a sparse code."""
    full = torch.zeros(len(code.indices), atoms).to(code.coefficients)
    return full.scatter_add(1, code.indices.clamp_min(0), code.coefficients)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 40))
def test_supports_and_coefficients_are_those_of_scikit_learn(seed, atoms, block):
    dictionary, signals = random_world.unit(80, 16, seed), random_world.unit(23, 16, seed + 1)
    code = omp(signals, dictionary, atoms, block)
    wanted = orthogonal_mp(dictionary.T.numpy(), signals.T.numpy(), n_nonzero_coefs=atoms)
    wanted = torch.as_tensor(wanted).T.reshape(23, 80)
    assert torch.equal(dense(code, 80) != 0, wanted != 0)
    close(dense(code, 80), wanted, rtol=1e-8, atol=1e-10)


def test_order_of_selection_and_residuals_agree_with_the_literal_form():
    dictionary, signals = random_world.unit(60, 12), random_world.unit(9, 12, seed=8)
    code = omp(signals, dictionary, 6)
    for row, signal in enumerate(signals):
        chosen, coefficients = reference.omp(signal.numpy(), dictionary.numpy(), 6)
        assert code.indices[row].tolist() == chosen
        close(code.coefficients[row], torch.tensor(coefficients))
        residual = signal.numpy() - dictionary.numpy()[chosen].T @ coefficients
        assert float(code.residual_norm[row]) == pytest.approx(np.linalg.norm(residual))


def test_float32_chooses_the_same_atoms():
    dictionary, signals = random_world.unit(500, 64), random_world.unit(50, 64, seed=8)
    exact, single = omp(signals, dictionary, 16), omp(signals.float(), dictionary.float(), 16)
    assert torch.equal(single.indices, exact.indices)
    close(single.coefficients.double(), exact.coefficients, rtol=0, atol=1e-5)


def test_as_many_atoms_as_the_rank_give_least_squares():
    dictionary = random_world.unit(7, 12)
    signals = random_world.unit(5, 12, seed=8)
    wanted = torch.linalg.lstsq(dictionary.T, signals.T).solution.T
    code = omp(signals, dictionary, 7)
    close(dense(code, 7), wanted)
    close(code.residual_norm, (signals - wanted @ dictionary).norm(dim=1))


def test_planted_codes_are_recovered():
    dictionary = random_world.unit(200, 64)
    planted = torch.tensor([[3, 90, 150], [7, 8, 199]])
    weights = torch.tensor([[1.0, -2.0, 0.7], [0.5, 1.5, -1.0]]).double()
    signals = torch.einsum("nm,nmd->nd", weights, dictionary[planted])
    code = omp(signals, dictionary, 6)
    close(dense(code, 200), torch.zeros(2, 200).double().scatter(1, planted, weights))
    assert (code.indices >= 0).sum(1).tolist() == [3, 3], "nothing is left to explain after three"
    assert (code.residual_norm < 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_atoms_than_the_rank_stop_at_the_rank(dtype):
    dictionary = random_world.unit(40, 5).to(dtype)
    signals = random_world.unit(30, 5, seed=8).to(dtype)
    code = omp(signals, dictionary, 12)
    assert ((code.indices >= 0).sum(1) == 5).all()
    assert (code.indices[:, 5:] == -1).all() and not code.coefficients[:, 5:].any()
    close(dense(code, 40) @ dictionary, signals)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equal_atoms_the_first_is_taken_and_no_atom_twice(dtype):
    once = random_world.unit(37, 8).to(dtype)
    dictionary = torch.cat([once, once.flip(0), once])
    signals = random_world.unit(25, 8, seed=8).to(dtype)
    code = omp(signals, dictionary, 8)
    assert torch.equal(code.indices, omp(signals, once, 8).indices)
    for row in code.indices.tolist():
        used = [index for index in row if index >= 0]
        assert len(set(used)) == len(used)


def test_ties_of_different_atoms_go_to_the_lowest_index():
    code = omp(torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.eye(4)[[2, 0, 1, 3]], 3)
    assert code.indices.tolist() == [[0, 1, 2]]


def test_a_zero_signal_has_an_empty_code_and_leaves_its_neighbours_alone():
    dictionary, signals = random_world.unit(20, 6), random_world.unit(3, 6, seed=8)
    alone = omp(signals[[0, 2]], dictionary, 4)
    signals[1] = 0
    code = omp(signals, dictionary, 4)
    assert (code.indices[1] == -1).all() and not code.coefficients[1].any()
    assert float(code.residual_norm[1]) == 0
    for part, wanted in zip(code, alone, strict=True):
        assert torch.equal(part[[0, 2]], wanted)
    assert omp(signals[:0], dictionary, 4).indices.shape == (0, 4)


def test_scaling_a_signal_scales_its_code():
    dictionary, signals = random_world.unit(60, 12), random_world.unit(9, 12, seed=8)
    code, small = omp(signals, dictionary, 6), omp(1e-6 * signals, dictionary, 6)
    assert torch.equal(code.indices, small.indices)
    close(small.coefficients * 1e6, code.coefficients)


def test_more_atoms_than_the_dictionary_are_refused():
    with pytest.raises(ValueError, match=r"code of 5 atoms .* dictionary has 4"):
        omp(random_world.unit(1, 6), random_world.unit(4, 6), 5)


def test_dictionaries_are_centred_and_normalised_along_the_chosen_axis():
    words = random_world.unit(30, 6) + 1
    atoms = prepare_dictionary(words)
    close(atoms.norm(dim=1), torch.ones(30).double())
    reference_atoms = prepare_dictionary(words, normalise="reference")
    close(reference_atoms.norm(dim=0), torch.ones(6).double())
    close(reference_atoms.mean(0), torch.zeros(6).double())
    close(prepare_dictionary(words, centre=False), words / words.norm(dim=1, keepdim=True))
    assert not prepare_dictionary(words[:1]).any(), "a centred single word is zero, not NaN"


def test_atoms_of_different_lengths_agree_with_the_literal_form():
    dictionary = prepare_dictionary(random_world.unit(50, 12), normalise="reference")
    signals = random_world.unit(9, 12, seed=8)
    wanted = [reference.omp(x.numpy(), dictionary.numpy(), 5) for x in signals]
    code = omp(signals, dictionary, 5)
    assert code.indices.tolist() == [chosen for chosen, _ in wanted]
    close(code.coefficients, torch.tensor(np.array([code for _, code in wanted])))


def test_nearly_parallel_atoms_leave_the_least_squares_residual():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 64, generator=generator).double()
    dictionary = random_world.unit(1, 64) + 1e-4 * noise
    dictionary = torch.nn.functional.normalize(dictionary, dim=1).float()
    signals = random_world.unit(40, 64, seed=8).float()
    code = omp(signals, dictionary, 24)
    assert (code.indices >= 0).all()
    for row, chosen in enumerate(code.indices):
        assert len(chosen.unique()) == 24
        atoms, signal = dictionary[chosen].double(), signals[row].double()
        fit = atoms.T @ torch.linalg.lstsq(atoms.T, signal).solution
        wanted = float((signal - fit).norm())
        assert float(code.residual_norm[row]) == pytest.approx(wanted, rel=1e-2)


def screened_and_not(signals, dictionary, atoms, **options):
    return [omp(signals, dictionary, atoms, screen=screen, **options) for screen in (True, False)]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(4, 300), st.integers(2, 40), st.integers(1, 30))
def test_screening_changes_no_support(seed, words, width, block):
    dictionary = random_world.unit(words, width, seed).float()
    signals = random_world.unit(23, width, seed + 1).float()
    atoms = min(words, width // 2 + 1)
    fast, exact = screened_and_not(signals, dictionary, atoms, block=block)
    assert torch.equal(fast.indices, exact.indices)
    close(fast.coefficients, exact.coefficients, rtol=1e-3, atol=1e-4)


def test_screening_tells_atoms_apart_that_bfloat16_cannot():
    base = random_world.unit(1, 32).float()
    noise = 1e-4 * random_world.unit(90, 32, seed=5).float()
    dictionary = torch.cat([random_world.unit(60, 32, seed=6).float(), base + noise])
    fast, exact = screened_and_not(base + 0.1 * random_world.unit(7, 32).float(), dictionary, 3)
    assert torch.equal(fast.indices, exact.indices)


@pytest.mark.parametrize("copies", [3, 200])
def test_screening_takes_the_first_of_equal_atoms(copies):
    once = random_world.unit(20, 8).float()
    signals = random_world.unit(25, 8, seed=8).float()
    code = omp(signals, once.repeat(copies, 1), 8, screen=True)
    assert torch.equal(code.indices, omp(signals, once, 8, screen=False).indices)
    opposite = omp(signals, torch.cat([once, -once]), 8, screen=True)
    assert torch.equal(opposite.indices, code.indices), "a tie of atoms that are not equal"


def test_screening_stops_at_zero_signals_and_where_the_dictionary_spans_no_more():
    dictionary = torch.cat([random_world.unit(40, 5).float(), torch.zeros(40, 3)], dim=1)
    signals = random_world.unit(30, 8, seed=9).float()  # three dimensions are out of reach
    signals[4] = 0
    signals[5, :5] = 0
    fast, exact = screened_and_not(signals, dictionary, 9)
    assert torch.equal(fast.indices, exact.indices)
    used = (fast.indices >= 0).sum(1)
    assert used[4] == used[5] == 0 and (used[6:] == 5).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_screening_does_not_depend_on_scale(scale):
    dictionary, signals = random_world.unit(90, 12).float(), random_world.unit(9, 12, 8).float()
    code = omp(signals, dictionary, 6, screen=True)
    scaled = omp(signals / scale, dictionary * scale, 6, screen=True)
    assert torch.equal(code.indices, scaled.indices)


def test_screened_candidates_hold_the_best_atom_within_the_bound():
    dictionary, signals = random_world.unit(3000, 48).float(), random_world.unit(64, 48, 8).float()
    none = torch.empty(64, 0, dtype=torch.int64)
    row, index, unclear = _candidates(signals, none, searched(dictionary, screen=True))
    best = (signals.double() @ dictionary.double().T).abs().argmax(1)
    assert len(unclear) == 0 and len(row) < 64 * 20
    for signal, atom in enumerate(best):
        assert atom in index[row == signal]


def test_nearly_dependent_atoms_are_made_orthogonal_again(monkeypatch):
    dictionary = random_world.unit(1, 64) + 1e-3 * random_world.unit(300, 64, seed=5)
    dictionary = torch.nn.functional.normalize(dictionary, dim=1).float()
    signals = random_world.unit(20, 64, seed=8).float()

    def off_by():
        code = omp(signals, dictionary, 24)
        atoms = dictionary[code.indices].double().mT  # [N,D,m]
        fit = torch.linalg.lstsq(atoms, signals[..., None].double()).solution
        wanted = (signals[..., None] - atoms @ fit).norm(dim=(1, 2))
        return float((code.residual_norm - wanted).abs().max())

    once_more = off_by()
    monkeypatch.setattr("nhd_ops.sparse_code.KEPT", 0.0)
    assert 100 * once_more < 0.01 < off_by()
