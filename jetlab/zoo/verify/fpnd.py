"""ParticleNet of JetNet and its Frechet distances against what the JetNet package gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jetlab.errors import CheckpointError
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    from torch import nn

    from jetlab.models.fpnd import FPNDNet

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "fpnd"

DEFAULT = Tolerance(absolute=1e-4)
"""Of activations, which reach 8."""

DISTANCE = Tolerance(relative=1e-5)


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays of each class of jets.

    Raises
    ------
    CheckpointError
        If the model is not such a network.
    """
    from jetlab.models.fpnd import FPNDNet

    if not isinstance(model, FPNDNet):
        msg = f"{golden.checkpoint} is a {type(model).__name__}, expected the ParticleNet of JetNet"
        raise CheckpointError(msg)
    found: dict[str, Computed | Skipped] = {}
    for name in model.config.classes:
        if f"jets_{name}" in golden:
            found |= _of_class(model, golden, name)
    return found


def _of_class(model: FPNDNet, golden: Golden, name: str) -> dict[str, Computed | Skipped]:
    import torch

    jets, steps = golden[f"jets_{name}"], golden[f"mid_ec0_{name}"]
    activations = model.describe(jets)
    logits = model.classify(torch.from_numpy(activations).float().relu())
    mean, covariance = golden[f"real_mu_{name}"], golden[f"real_sigma_{name}"]
    return {
        f"jets_{name}": Skipped("jets that are described", is_input=True),
        f"n_{name}": Skipped("numbers of particles that were asked for, not computed"),
        f"real_mu_{name}": Skipped("statistics of real jets, part of the distance", is_input=True),
        f"real_sigma_{name}": Skipped("statistics of real jets, part of the distance", is_input=True),
        f"activations_{name}": Computed(activations),
        f"logits_{name}": Computed(logits.numpy()),
        f"mid_ec0_{name}": Computed(model.after_blocks(torch.from_numpy(jets[: len(steps)]), 1).numpy()),
        f"fpnd_{name}": Computed(_distance(activations, mean, covariance), tolerance=DISTANCE),
    }


def _distance(
    activations: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]
) -> float:
    """Frechet distance to stored statistics, by the textbook formula."""
    from scipy.linalg import sqrtm

    own = np.cov(activations, rowvar=False)
    shift = activations.mean(axis=0) - mean
    return float(shift @ shift + np.trace(own + covariance - 2 * sqrtm(own @ covariance).real))
