"""Point-biserial correlations from moments are scipy's on the stored coefficients."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from nhd_ops.geometry import geometry_of
from nhd_ops.labels import point_biserial
from nhd_ops.moments import merge, moments_of
from tests.ops import random_world


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_correlations_are_those_of_the_stored_coefficients(dtype):
    geometry = geometry_of(random_world.directions().to(dtype=dtype))
    s = random_world.coefficients(90).to(dtype)
    labels = torch.stack([s[:, 0, 0] > 1, torch.arange(90) % 7 == 0, torch.arange(90) < 89], 1)
    parts = [
        moments_of(s[rows], geometry, torch.arange(90)[rows], labels=labels[rows])
        for rows in (slice(0, 13), slice(13, 90))
    ]
    found = point_biserial(merge(*parts))
    for label in range(3):
        for head, neuron in ((0, 0), (1, 5), (2, 23)):
            wanted = stats.pointbiserialr(labels[:, label], s[:, head, neuron]).statistic
            assert float(found[label, head, neuron]) == pytest.approx(wanted, abs=1e-6)


def test_what_has_no_correlation_is_nan():
    geometry = geometry_of(random_world.directions())
    s = random_world.coefficients(20)
    s[:, 1, 3] = 0.1
    labels = torch.stack([torch.ones(20), torch.zeros(20), torch.arange(20) % 2], 1).bool()
    found = point_biserial(moments_of(s, geometry, torch.arange(20), labels=labels))
    assert found[:2].isnan().all() and found[2, 1, 3].isnan()
    assert int(found[2].isnan().sum()) == 1
