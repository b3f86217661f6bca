"""Extremes that merge exactly: each is one int64 key of a value and its image id.

The high 32 bits are an order-preserving transform of the float32 value and the low 32 bits make
the lower id win a tie. So `topk` of keys is deterministic, and merging is associative and
commutative bit for bit. The smallest values are the largest of the negated ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

EMPTY = -(2**63)
"""Fills the places of a list that has fewer than k images; below every real key."""
IDS = 2**32
UNITS_AT_ONCE = 16384
DENSE = 1 / 16  # of the values may be candidates; if more are, sorting all of them is faster


def pack(values: Tensor, ids: Tensor) -> Tensor:
    """Keys of finite values (read as float32) and ids in [0, 2³²); broadcast together, int64."""
    # Adding zero turns -0.0 into 0.0, so that the two tie.
    bits = (values.float() + 0.0).contiguous().view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return ordered * IDS + (IDS - 1 - ids)


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Values (float32) and ids (int64) of keys; NaN and -1 where a key is EMPTY."""
    ordered = (keys >> 32).int()
    bits = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered)
    ids = IDS - 1 - (keys & (IDS - 1))
    return bits.view(torch.float32), torch.where(keys == EMPTY, -1, ids)


def largest_at(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Like `largest`, with the row of `values` that each key came from: keys, rows, both [U,k].

    Rows are 0 where the key is EMPTY.
    """
    blocks = [_largest_at(block, ids, k) for block in torch.split(values, UNITS_AT_ONCE, 1)]
    keys, rows = zip(*blocks, strict=True)
    return torch.cat(keys), torch.cat(rows)


def _largest_at(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    keys, rows = pack(values.T, ids).topk(min(k, len(ids)))  # [U,min(k,B)]
    missing = (0, k - keys.shape[1])
    return pad(keys, missing, value=EMPTY), pad(rows, missing)


def largest(values: Tensor, ids: Tensor, k: int) -> Tensor:
    """The k largest values of each unit, largest first.

    Args:
        values: [B,U], finite.
        ids: [B] int64 in [0, 2³²), unique.
    Returns:
        [U,k] int64 keys, EMPTY at the end where B < k.
    """
    return largest_at(values, ids, k)[0]


def merge_at(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The k largest of two lists [U,k] of keys, and their places in the concatenation [U,2k]."""
    merged = torch.cat([a, b], dim=-1).topk(a.shape[-1])
    return merged.values, merged.indices


def merge(a: Tensor, b: Tensor) -> Tensor:
    """The k largest of two lists [U,k] of keys."""
    return merge_at(a, b)[0]


def none(units: int, k: int, device: torch.device) -> Tensor:
    """The lists of no images: [U,k]."""
    return torch.full((units, k), EMPTY, device=device)


def update(keys: Tensor, values: Tensor, ids: Tensor) -> Tensor:
    """`merge(keys, largest(values, ids, k))`, for a list that few of the values can enter.

    Values below a unit's k-th are set aside by one comparison; only the rest is sorted.

    Args:
        keys: [U,k].
        values: [B,U], finite; ids: [B].
    """
    k = keys.shape[1]
    bar = torch.where(keys[:, -1] == EMPTY, -torch.inf, unpack(keys[:, -1])[0])  # [U]
    image, unit = (values >= bar).nonzero(as_tuple=True)
    if len(unit) > DENSE * values.numel():
        return merge(keys, largest(values, ids, k))
    order = unit.argsort(stable=True)
    image, unit = image[order], unit[order]
    touched, counts = torch.unique_consecutive(unit, return_counts=True)
    if len(touched) == 0:
        return keys
    begin = counts.cumsum(0) - counts  # [t], where each unit's candidates begin
    row = torch.arange(len(touched), device=keys.device).repeat_interleave(counts)
    place = torch.arange(len(unit), device=keys.device) - begin[row]
    found = keys.new_full((len(touched), int(counts.max())), EMPTY)
    found[row, place] = pack(values[image, unit], ids[image])
    merged = keys.clone()
    merged[touched] = torch.cat([keys[touched], found], dim=1).topk(k).values
    return merged


def relabel(keys: Tensor, starts_old: Tensor, starts_new: Tensor) -> Tensor:
    """Move ids in [starts_old[i], starts_old[i+1]) to starts_new[i] + (id - starts_old[i]).

    Args:
        keys: [...,k]; EMPTY stays.
        starts_old: [S] int64, increasing, the first one not above any id.
        starts_new: [S] int64.
    Returns:
        [...,k], largest first again: ties are re-ordered where the new ids ask for it. Which
        image of a tie was kept at the k-th place was decided by the old ids, so relabel with an
        increasing map wherever ties matter.
    Raises:
        ValueError: an id lies below starts_old[0].
    """
    values, ids = unpack(keys)
    empty = keys == EMPTY
    place = torch.searchsorted(starts_old, ids, right=True) - 1
    if bool(((place < 0) & ~empty).any()):
        raise ValueError(
            f"An image id lies below the first start {int(starts_old[0])}: starts_old must "
            "begin at or below the lowest id that the keys hold."
        )
    moved = ids + starts_new[place] - starts_old[place]
    relabelled = torch.where(empty, EMPTY, pack(values, moved))
    return relabelled.sort(dim=-1, descending=True).values
