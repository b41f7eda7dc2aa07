"""Some of the slots of padded rows, picked without losing their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["at_slots", "first_slots", "to_slots"]


def first_slots(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Slots with a True, in their order, then others, as many as the row with the most of them has.

    Parameters
    ----------
    mask : Tensor of bool, shape (B, T)

    Returns
    -------
    slots : Tensor of int64, shape (B, t)
        At least one a row, if there are slots.
    wanted : Tensor of bool, shape (B, t)
        Whether they have a True.
    """
    most = max(1, int(mask.sum(1).max())) if len(mask) else 1
    slots = mask.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return slots, mask.gather(1, slots)


def at_slots(values: Tensor, slots: Tensor) -> Tensor:
    """Values ``(B, T, D)`` at these slots ``(B, t)``, shape ``(B, t, D)``."""
    return values.gather(1, _each(slots, values))


def to_slots(values: Tensor, slots: Tensor, *, length: int) -> Tensor:
    """Values ``(B, t, D)`` put back to these slots ``(B, t)``, zero elsewhere, shape ``(B, length, D)``."""
    empty = values.new_zeros(len(values), length, values.shape[2])
    return empty.scatter(1, _each(slots, values), values)


def _each(slots: Tensor, values: Tensor) -> Tensor:
    return slots[..., None].expand(-1, -1, values.shape[-1])
