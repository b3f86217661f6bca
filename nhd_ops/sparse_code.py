"""Sparse codes of directions over word embeddings, by batched orthogonal matching pursuit.

Source: arXiv 2509.19943; nhd_ops/README.md, section 5. One matrix product per step gives the
correlations of a whole block of signals with every atom (see `best_atom`); the chosen atoms are
kept as one QR factorisation per signal. No K×K Gram is formed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nhd_ops.best_atom import Atoms, best_atom, searched

TINY = 64
"""A signal is done when no atom explains more than TINY·eps of it."""
KEPT = 0.5
"""An atom of which less than this share is new is made orthogonal twice."""


class SparseCode(NamedTuple):
    """x ≈ Σ_j coefficients[j]·dictionary[indices[j]], for N signals."""

    indices: Tensor
    """[N,m] int64 in the order of selection; -1 where the signal was done earlier."""
    coefficients: Tensor
    """[N,m], signed; 0 where the index is -1."""
    residual_norm: Tensor
    """[N], ‖x - Σ‖."""


class _State(NamedTuple):
    """A block of b signals after some steps."""

    indices: Tensor  # [b,m]
    q: Tensor  # [b,m,D], orthonormal rows spanning the chosen atoms; zero where unused
    r: Tensor  # [b,m,m], upper triangular, atoms = rᵀ q; identity where unused
    along: Tensor  # [b,m], the signal along q
    residual: Tensor  # [b,D]


def prepare_dictionary(
    embeddings: Tensor,
    centre: bool = True,
    normalise: Literal["atom", "reference"] = "atom",
) -> Tensor:
    """Word embeddings [K,D] to a dictionary [K,D].

    Args:
        centre: subtract the mean over the dictionary.
        normalise: "atom" gives every atom unit length; "reference" divides every coordinate by
            its norm over the dictionary, as the code published with arXiv 2509.19943 does, and
            leaves atoms of different lengths.
    Returns:
        [K,D]; an atom (or coordinate) that is zero stays zero.
    """
    atoms = embeddings - embeddings.mean(0) if centre else embeddings
    lengths = atoms.norm(dim=1 if normalise == "atom" else 0, keepdim=True)
    return atoms / torch.where(lengths > 0, lengths, 1)


def omp(
    signals: Tensor, dictionary: Tensor, atoms: int, block: int = 256, screen: bool | None = None
) -> SparseCode:
    """Orthogonal matching pursuit: at each step the atom of largest |⟨residual, d⟩|.

    Of equal atoms the first is taken, and each at most once. A signal stops early, with indices
    of -1, when nothing is left that an atom could explain: at a zero signal, or at its rank.

    Args:
        signals: [N,D].
        dictionary: [K,D], of the same dtype; see `prepare_dictionary`.
        atoms: m.
        block: how many signals at once; memory is at most about
            block·(K + m·(D + m) + 3·CROWD·D) + 3·K·D numbers, beside the arguments.
        screen: look at bfloat16 products first, which changes no result (see `best_atom`); by
            default where it is faster.
    Raises:
        ValueError: there are more atoms to choose than the dictionary has.
    """
    if atoms > len(dictionary):
        raise ValueError(
            f"A code of {atoms} atoms was asked for, but the dictionary has {len(dictionary)}: "
            "ask for fewer atoms or give more words."
        )
    first = _first_copies(dictionary)
    ready = searched(dictionary, screen)
    blocks = torch.split(signals, block) if len(signals) else (signals,)
    codes = [_omp(part, ready, atoms, first) for part in blocks]
    return SparseCode(*(torch.cat(parts) for parts in zip(*codes, strict=True)))


def _first_copies(dictionary: Tensor) -> Tensor:
    """For every atom the lowest index of an equal one: [K]. Rounding must not break such ties."""
    _, group = torch.unique(dictionary, dim=0, return_inverse=True)
    everyone = torch.arange(len(dictionary), device=dictionary.device)
    first = torch.full_like(everyone, len(dictionary)).scatter_reduce(0, group, everyone, "amin")
    return first[group]


def _omp(signals: Tensor, dictionary: Atoms, atoms: int, first: Tensor) -> SparseCode:
    size = signals.norm(dim=1) * dictionary.exact.norm(dim=1).max()
    enough = size * TINY * torch.finfo(signals.dtype).eps  # [b]
    state = _start(signals, atoms)
    for step in range(atoms):
        chosen = best_atom(state.residual, state.indices[:, :step], dictionary, enough)
        chosen = torch.where(chosen < 0, -1, first[chosen])
        state = _extend(state, step, chosen, dictionary.exact)
    coefficients = torch.linalg.solve_triangular(state.r, state.along[..., None], upper=True)
    return SparseCode(state.indices, coefficients.squeeze(-1), state.residual.norm(dim=1))


def _start(signals: Tensor, atoms: int) -> _State:
    number, width = signals.shape
    return _State(
        torch.full((number, atoms), -1, device=signals.device),
        signals.new_zeros(number, atoms, width),
        torch.eye(atoms).to(signals).repeat(number, 1, 1),
        signals.new_zeros(number, atoms),
        signals,
    )


def _extend(state: _State, step: int, chosen: Tensor, dictionary: Tensor) -> _State:
    """Add one atom [b] to each factorisation (in place), and take it out of the residual."""
    used = chosen >= 0
    atom = dictionary[chosen.clamp_min(0)] * used[:, None]  # [b,D]
    rest, column = _orthogonal(atom, state.q[:, :step])
    # Gram-Schmidt loses orthogonality where little of the atom is left, and only once.
    again = (rest.norm(dim=1) < KEPT * atom.norm(dim=1)).nonzero().squeeze(1)
    if len(again):
        rest[again], correction = _orthogonal(rest[again], state.q[again, :step])
        column[again] += correction
    length = rest.norm(dim=1)
    unit = rest / torch.where(used, length, 1)[:, None]
    along = (unit * state.residual).sum(1)
    state.indices[:, step] = chosen
    state.q[:, step] = unit
    state.r[:, :step, step] = column
    state.r[:, step, step] = torch.where(used, length, 1)
    state.along[:, step] = along
    return state._replace(residual=state.residual - along[:, None] * unit)


def _orthogonal(atom: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """[b,D] less its part along the orthonormal rows [b,s,D]; and that part: [b,s].

    A row vector times a matrix: batched products with a column vector are several times slower.
    """
    part = atom[:, None] @ q.mT  # [b,1,s]
    return atom - (part @ q).squeeze(1), part.squeeze(1)
