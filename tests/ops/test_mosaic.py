"""Windows put together by two matrix products = pasted, added up and divided, pixel by pixel."""

import itertools

import pytest
import torch
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from nhd_ops import mosaic
from tests import segment_reference as literal


@pytest.mark.parametrize("scene", [(24, 24), (24, 37), (61, 29)])
@pytest.mark.parametrize("stride", [5, 12, 24])
def test_blending_is_pasting_and_averaging(scene, stride):
    window, grid, out = 24, 3, (40, 33)
    tops, lefts = (mosaic.starts(side, window, stride) for side in scene)
    count = len(tops) * len(lefts)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, 2, grid, grid, generator=generator, dtype=torch.float64)
    pasted = literal.mosaic(logits, tops, lefts, window, scene)
    wanted = interpolate(pasted[None], out, mode="bilinear")[0]
    laid = logits.view(len(tops), len(lefts), 2, grid, grid).permute(2, 0, 3, 1, 4)
    laid = laid.reshape(2, len(tops) * grid, len(lefts) * grid)
    down = mosaic.blend(tops, window, grid, scene[0], out[0]).double()
    across = mosaic.blend(lefts, window, grid, scene[1], out[1]).double()
    torch.testing.assert_close(down @ laid @ across.T, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("taper", [True, False])
def test_what_all_windows_agree_on_stays_as_it_is(taper):
    begins = mosaic.starts(100, 32, 7)
    weights = mosaic.blend(begins, 32, 4, 100, 150, taper)
    torch.testing.assert_close(weights.sum(1), torch.ones(150))
    assert (weights >= 0).all()


def test_a_taper_trusts_the_window_whose_middle_is_nearer():
    flat, taper = (mosaic.blend([0, 16], 32, 4, 48, 48, t) for t in (False, True))
    first = slice(0, 4)  # the cells of the first window
    torch.testing.assert_close(flat[16:32, first].sum(1), torch.full((16,), 0.5))
    falling = taper[16:32, first].sum(1)
    assert (falling.diff() < 0).all() and falling[0] > 0.9 and falling[-1] < 0.1
    torch.testing.assert_close(flat[:16], taper[:16])


@pytest.mark.parametrize(("length", "stride"), [*itertools.product([32, 33, 47, 96], [1, 16, 32])])
def test_windows_cover_everything_and_stay_inside(length, stride):
    begins = mosaic.starts(length, 32, stride)
    covered = {pixel for begin in begins for pixel in range(begin, begin + 32)}
    assert covered == set(range(length)) and len(set(begins)) == len(begins)


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="32 pixels every 16 do not fit a side of 20 pixels"):
        mosaic.starts(20, 32, 16)


class Largest(TorchDispatchMode):
    """Of all tensors that are made, the most numbers in one."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.most = max(self.most, found.numel())
        return found


def test_a_long_side_takes_no_square_of_its_pixels():
    begins = mosaic.starts(3000, 384, 192)
    with Largest() as seen:
        mosaic.blend(begins, 384, 4, 3000, 40)
    assert seen.most <= 3000 * len(begins) * 4
