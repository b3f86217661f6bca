"""Bins are exact, counts are kept, and distances behave like distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nhd_ops import histogram as h
from tests import reference

floats = st.floats(width=32, allow_nan=False)


def counts(values):
    return h.histogram_of(torch.as_tensor(values)[:, None])[0]


@given(st.lists(floats, min_size=1, max_size=20))
def test_bins_agree_with_comparing_every_edge(values):
    assert h.bin_of(torch.tensor(values)).tolist() == [reference.bin_of(x) for x in values]


def test_bins_at_and_next_to_every_edge():
    edges = np.array(h.EDGES, dtype=np.float32)
    values = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    assert h.bin_of(torch.tensor(values)).tolist() == [reference.bin_of(x) for x in values]
    assert len(h.EDGES) == 47 and sorted(h.EDGES) == list(h.EDGES)


def test_every_value_is_counted_once_for_its_unit():
    values = torch.randn(70, 3, 5, generator=torch.Generator().manual_seed(0)) ** 3
    found = h.histogram_of(values)
    assert found.shape == (3, 5, 48)
    for head in range(3):
        for neuron in range(5):
            bins = [reference.bin_of(x) for x in values[:, head, neuron].tolist()]
            assert found[head, neuron].tolist() == np.bincount(bins, minlength=48).tolist()


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return rng.lognormal(0, 1, 4000), rng.lognormal(0.5, 1, 4000) - 0.2


def test_quantiles_are_right_to_an_octave(samples):
    p = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    found = h.quantiles(counts(samples[0]), p)
    exact = np.quantile(samples[0], p.numpy())
    assert ((found.numpy() / exact > 0.5) & (found.numpy() / exact < 2)).all()
    assert (found.diff() >= 0).all()


def test_quantiles_at_the_ends_are_the_bounds_of_the_data():
    ends = torch.tensor([0.0, 1.0])
    assert h.quantiles(counts([3.0, 5.0, 1.5]), ends).tolist() == [1.0, 8.0]
    assert h.quantiles(torch.zeros(48), ends).isnan().all()


def test_ks_never_exceeds_the_exact_distance_and_comes_close(samples):
    found = float(h.ks(counts(samples[0]), counts(samples[1])))
    exact = stats.ks_2samp(*samples).statistic
    assert exact - 0.1 < found <= exact + 1e-12


def test_wasserstein_is_exact_for_values_at_midpoints():
    edges = np.array(h.EDGES[24:40])
    middles = (edges[1:] + edges[:-1]) / 2
    rng = np.random.default_rng(0)
    a, b = rng.choice(middles, 60), rng.choice(middles, 90)
    assert float(h.wasserstein(counts(a), counts(b))) == pytest.approx(
        stats.wasserstein_distance(a, b)
    )


@pytest.mark.parametrize("distance", [h.psi, h.ks, h.wasserstein])
def test_distances_are_zero_on_the_diagonal_symmetric_and_vectorised(distance, samples):
    a, b = (counts(side) for side in samples)
    assert float(distance(a, a)) == 0
    assert float(distance(a, b)) == pytest.approx(float(distance(b, a))) != 0
    both = distance(torch.stack([a, b]), torch.stack([b, b]))
    assert both.tolist() == pytest.approx([float(distance(a, b)), 0])


def test_psi_is_the_symmetric_divergence(samples):
    a, b = (counts(side).double() + 0.5 for side in samples)
    p, q = a / a.sum(), b / b.sum()
    wanted = stats.entropy(p, q) + stats.entropy(q, p)
    assert float(h.psi(*(counts(side) for side in samples))) == pytest.approx(wanted)
