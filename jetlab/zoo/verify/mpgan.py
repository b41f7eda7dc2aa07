"""Generators of MPGAN against what the original makes of the same noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "mpgan"

DEFAULT = Tolerance(absolute=2e-5)
"""Of outputs between -1 and 1; float32 and float64 differ by 1e-6."""

STEP = Tolerance(relative=1e-5)
"""Of what the rounds of message passing give, which has no bounds."""


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays.

    Raises
    ------
    CheckpointError
        If the model is not such a generator.
    """
    import torch

    from jetlab.models.mpgan import MPGAN

    if not isinstance(model, MPGAN):
        msg = f"{golden.checkpoint} is a {type(model).__name__}, expected a generator of MPGAN"
        raise CheckpointError(msg)
    noise, rows = torch.from_numpy(golden["noise"]), torch.from_numpy(golden["mid_index"])
    real = model.chosen(noise, model.count_of(torch.from_numpy(golden["labels"])[:, -1]))
    scaled = model.scaled(noise, real)
    jets = model.relative(scaled, real)
    first = model.rounds[0](noise[rows], real[rows])
    last = model.rounds[1](first, real[rows])
    inputs = ("noise", "labels", "mid_index")
    found: dict[str, Computed | Skipped] = {name: Skipped("given to the generator", is_input=True) for name in inputs}
    return found | {
        "n_requested": Skipped("numbers of particles that the labels stand for", is_input=True),
        "n_used": Computed(real.sum(1).numpy()),
        "output": Computed(torch.cat([scaled, real[..., None].float() - 0.5], 2).numpy()),
        "mid_mp0": Computed(first.numpy(), tolerance=STEP),
        "mid_mp1_before_tanh": Computed(last.numpy(), tolerance=STEP),
        "physical": Computed(jets[..., :3].numpy()),
        "physical_mask": Computed(real.numpy()),
    }
