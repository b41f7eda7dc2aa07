"""`concatenate`: join jets, events or pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jetlab.errors import InvalidJetsError
from jetlab.jets import container
from jetlab.jets.container import Jets
from jetlab.jets.events import Events, concatenate_events
from jetlab.jets.pairs import Pairs, concatenate_pairs

__all__ = ["concatenate"]

Container = TypeVar("Container", Jets, Events, Pairs)

_JOINING: dict[type, Callable[[Any], Any]] = {
    Jets: container.concatenate,
    Events: concatenate_events,
    Pairs: concatenate_pairs,
}


def concatenate(parts: Sequence[Container]) -> Container:
    """Join several sets of jets, of events, or of pairs; they keep the fields and columns that all of them have.

    Parameters
    ----------
    parts : sequence of Jets, of Events, or of Pairs
        At least one; all of one kind and with the same classes.

    Raises
    ------
    InvalidJetsError
        If there are no parts, or their kinds or classes differ.
    """
    parts = list(parts)
    for kind, join in _JOINING.items():
        if parts and all(isinstance(part, kind) for part in parts):
            return join(parts)
    found = " and ".join(sorted({type(part).__name__ for part in parts})) or "nothing"
    msg = f"{found} to concatenate, expected at least one Jets, or Events, or Pairs, and all of one kind"
    raise InvalidJetsError(msg)
