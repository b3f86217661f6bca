"""The atom of largest |⟨residual, d⟩| for a block of residuals: exact, or screened in bfloat16.

Source: the selection step of nhd_ops/README.md, section 5. Screening halves the time of its matrix
product and changes no result: with r and d of length at most 1, and r̃, d̃ their bfloat16 copies,

    |⟨r,d⟩ - ⟨r̃,d̃⟩| ≤ ‖d - d̃‖ + ‖d̃‖·‖r - r̃‖  (+ rounding of the product),

so only atoms within twice that bound of the largest screened value can be best. These few are
compared in full precision; a residual that leaves many of them takes the exact way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

GROUP = 16
"""Screened values are compared by groups of so many atoms at first, K/GROUP atoms apart."""
CROWD = 128
"""A residual with more candidates than this takes the exact way."""
SMALLEST = 2048
"""Screening pays from about so many atoms."""


class Atoms(NamedTuple):
    """A dictionary that is searched."""

    exact: Tensor
    """[K,D]"""
    rough: Tensor | None
    """[K',D] bfloat16, divided by the largest length of an atom; K' ≥ K is a multiple of GROUP and
    the atoms added are zero. None: there is no screening."""
    error: float
    """The largest ‖d - d̃‖, in units of the largest ‖d‖."""


def searched(dictionary: Tensor, screen: bool | None = None) -> Atoms:
    """A dictionary [K,D] made ready for `best_atom`; screened, if not said, where that pays."""
    if screen is None:
        screen = _pays(dictionary)
    if not screen:
        return Atoms(dictionary, None, 0.0)
    scale = dictionary.norm(dim=1).max()
    scaled = dictionary / torch.where(scale > 0, scale, 1)
    rough = scaled.bfloat16()
    error = float((scaled - rough.to(scaled)).norm(dim=1).max())
    return Atoms(dictionary, torch.nn.functional.pad(rough, (0, 0, 0, -len(rough) % GROUP)), error)


def _pays(dictionary: Tensor) -> bool:
    """On a GPU the sums themselves may be rounded to bfloat16, which the bound does not cover."""
    able: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # not in every version of torch
    fast = able.get("avx512_bf16") or able.get("amx_bf16")
    single = dictionary.dtype == torch.float32 and dictionary.device.type == "cpu"
    return bool(fast) and single and len(dictionary) >= SMALLEST


def best_atom(residual: Tensor, chosen: Tensor, atoms: Atoms, enough: Tensor) -> Tensor:
    """The atom of largest |⟨residual, d⟩|, the lowest index of equal ones: [b].

    Args:
        residual: [b,D].
        chosen: [b,s], atoms that are barred; a row that ends in -1 is done and gets -1.
        enough: [b]; -1 where no atom's value is larger than this.
    """
    if atoms.rough is None:
        return _exact(residual, chosen, atoms.exact, enough)
    row, index, unclear = _candidates(residual, chosen, atoms)
    values = (atoms.exact[index] * residual[row]).sum(1).abs()
    best = torch.zeros_like(enough).scatter_reduce(0, row, values, "amax")
    index = torch.where(values == best[row], index, len(atoms.exact))
    first = row.new_full((len(residual),), len(atoms.exact))
    first = first.scatter_reduce(0, row, index, "amin")
    found = torch.where(best > enough, first, -1)
    if len(unclear):
        found[unclear] = _exact(residual[unclear], chosen[unclear], atoms.exact, enough[unclear])
    return found


def _exact(residual: Tensor, chosen: Tensor, exact: Tensor, enough: Tensor) -> Tensor:
    values = (residual @ exact.T).abs_()  # [b,K]
    # A chosen atom is orthogonal to the residual only up to rounding. (Where the index is -1 the
    # signal is done, and barring atom 0 does no harm.)
    best = values.scatter_(1, chosen.clamp_min(0), -1.0).max(1)
    return torch.where(best.values > enough, best.indices, -1)


def _candidates(residual: Tensor, chosen: Tensor, atoms: Atoms) -> tuple[Tensor, Tensor, Tensor]:
    """Every (row, atom) that may be best of its row: [n] and [n]; and the rows left open."""
    assert atoms.rough is not None
    length = residual.norm(dim=1, keepdim=True)
    unit = residual / torch.where(length > 0, length, 1)
    rough = unit.bfloat16()
    values = (rough @ atoms.rough.T).abs_()  # [b,K'] bfloat16
    # Without a sign, bfloat16 is ordered like its bits, and integers are compared much faster.
    bits = values.view(torch.int16).scatter_(1, chosen.clamp_min(0), 0)
    highest = bits.view(len(bits), GROUP, -1).amax(1)  # [b,K'/GROUP]
    top = highest.amax(1).view(torch.bfloat16).float()
    error = atoms.error + (1 + atoms.error) * (unit - rough.to(unit)).norm(dim=1)
    # float32 sums of D products (and of what else is float32 here), then rounding to bfloat16
    error = error + residual.shape[1] * 2.0**-22 + top * 2.0**-8
    floor = top - 2 * error  # [b]; below zero it would let in the barred and the added atoms
    done = (length[:, 0] == 0) | (chosen[:, -1:] < 0).any(1)
    asked = torch.where(done | (floor <= 0), torch.inf, floor)[:, None]
    row, column = (highest.view(torch.bfloat16) >= asked).nonzero(as_tuple=True)
    members = values.view(len(values), GROUP, -1)[row, :, column]
    hit, place = (members >= asked[row]).nonzero(as_tuple=True)
    row, index = row[hit], place * highest.shape[1] + column[hit]
    unclear = ~done & ((floor <= 0) | (torch.bincount(row, minlength=len(floor)) > CROWD))
    clear = ~unclear[row]
    return row[clear], index[clear], unclear.nonzero().squeeze(1)
