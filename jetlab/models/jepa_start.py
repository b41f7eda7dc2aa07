"""A pretrained JEPA encoder as the start of another model's encoder."""

from __future__ import annotations

from dataclasses import replace

import torch

from jetlab.errors import JetLabError
from jetlab.models.jepa_encoder import JetEncoder

__all__ = ["take_over"]


@torch.no_grad()
def take_over(encoder: JetEncoder, start: JetEncoder) -> None:
    """Copy the weights of a pretrained encoder into another one, in place.

    One that is told numbers about jets can start from one that is not: what is new has no effect at first.

    Raises
    ------
    JetLabError
        If the encoders are of different architectures, or are told different numbers.
    """
    ours, theirs = encoder.config, start.config
    if replace(ours, told=0) != replace(theirs, told=0) or theirs.told not in (0, ours.told):
        one, other = ours.to_dict(), theirs.to_dict()
        facts = [f"{name} {one[name]!s:.40} against {other[name]!s:.40}" for name in one if one[name] != other[name]]
        msg = f"the pretrained encoder does not fit this model ({'; '.join(facts)}); make the model of the same sizes"
        raise JetLabError(msg)
    known = dict(start.state_dict())
    encoder.load_state_dict({name: known.get(name, own) for name, own in encoder.state_dict().items()})
