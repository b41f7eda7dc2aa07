"""OmniLearn (PET, in TensorFlow) against stored outputs of the original: both heads, on clean and on noisy jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jetlab.models.omnilearn import OmniLearn

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "omnilearn_pet_tf"

DEFAULT = Tolerance(relative=2e-5)
"""Theirs carries rounding: in float64 ours still differs from it by 4e-6 of the largest number, in float32 by 1e-5."""

EXACT, SCHEDULE = Tolerance(absolute=2e-6), Tolerance(absolute=1e-6, relative=1e-4)
"""Of inputs; of noise and signal, which are computed with the tangent of nearly a right angle."""

VELOCITY = Tolerance(relative=4e-4)
"""Jets of two particles, which are mostly padding, differ by up to 2e-4, in float64 too; others by 2e-5."""


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays.

    Raises
    ------
    CheckpointError
        If the model is not an OmniLearn.
    """
    from jetlab.models.omnilearn import OmniLearn

    if not isinstance(model, OmniLearn):
        msg = f"{golden.checkpoint} holds a {type(model).__name__}, expected an OmniLearn"
        raise CheckpointError(msg)
    return _inputs(model, golden) | _clean(model, golden) | _noisy(model, golden) | _steps(model, golden)


def _inputs(model: OmniLearn, golden: Golden) -> dict[str, Computed | Skipped]:
    """The recipes, on the columns of the raw file; the last jets are shortened copies of the first ones."""
    assert model.conditions is not None
    features = model.recipe.from_columns(
        golden["raw_offsets"],
        {ours: golden[f"raw_{name}"] for name, ours in JETCLASS_COLUMNS.items()},
        jets={ours: golden[f"raw_{name}"] for name, ours in JETCLASS_JET_COLUMNS.items()},
    )
    jets = len(features.offsets) - 1
    theirs = golden["features"]
    ours, kept = np.zeros_like(theirs), np.arange(theirs.shape[1]) < np.diff(features.offsets)[:, None]
    ours[:jets][kept] = features.x
    pt, eta, mass, count = golden["upstream_jet"].T
    cond = np.zeros_like(golden["jet"])
    cond[:jets] = model.conditions.of({"pt": pt, "eta": eta, "mass": mass, "multiplicity": count})
    mask = np.zeros_like(golden["mask"])
    mask[:jets] = kept
    whole = np.arange(len(theirs)) < jets
    short = "of whole jets"
    used = {f"raw_{name}" for name in (*JETCLASS_COLUMNS, *JETCLASS_JET_COLUMNS, "offsets")} | {"upstream_jet"}
    raw = [name for name in golden.arrays if name.startswith("raw_") and name not in used]
    return {
        **{name: Skipped("given to the recipe", is_input=True) for name in used},
        **{name: Skipped("column that this model does not need") for name in raw},
        "features": Computed(ours, whole, short, EXACT),
        "jet": Computed(cond, whole, short, EXACT),
        "mask": Computed(mask, whole, short),
        "upstream_particles": Skipped("compared when normalised, as features"),
        "label": Skipped("given to the model", is_input=True),
    }


def _clean(model: OmniLearn, golden: Golden) -> dict[str, Computed | Skipped]:
    from jetlab.batches import ParticleBatch

    batch = ParticleBatch(_tensor(golden, "features"), _mask(golden), cond=_tensor(golden, "jet"))
    judged = model.judge(batch)
    assert judged.cond is not None
    return {"class_logits": Computed(judged.logits), "jet_regression": Computed(judged.cond)}


def _noisy(model: OmniLearn, golden: Golden) -> dict[str, Computed | Skipped]:
    """The diffusion, and both heads on what it makes of the jets, with the weights and with their averages."""
    from jetlab.batches import ParticleBatch
    from jetlab.objectives.diffusion import diffused, log_snr, rates

    time, label = _tensor(golden, "time")[:, 0], _tensor(golden, "label").argmax(1)
    mask, clean = _mask(golden), _tensor(golden, "features")[..., : model.features_generated]
    noisy, _ = diffused(clean, _tensor(golden, "eps3"), time, model.prior)
    batch = ParticleBatch(_tensor(golden, "perturbed3"), mask, cond=_tensor(golden, "jet"))
    out = model.denoise(batch, time, label)
    assert out.logits is not None
    assert out.cond is not None
    averaged = model.generating
    signal, noise = rates(time[:, None])
    return {
        "eps3": Skipped("given to the diffusion", is_input=True),
        "time": Skipped("given to the diffusion", is_input=True),
        "logsnr": Computed(log_snr(time[:, None]), tolerance=SCHEDULE),
        "alpha": Computed(signal, tolerance=SCHEDULE),
        "sigma": Computed(noise, tolerance=SCHEDULE),
        "perturbed3": Computed(noisy, tolerance=EXACT),
        "smeared_class_logits": Computed(out.logits),
        "smeared_jet_regression": Computed(out.cond),
        "velocity": _velocity(out.velocity, golden, "velocity"),
        "velocity_ema": _velocity(averaged.denoise(batch, time, label).velocity, golden, "velocity_ema"),
        "velocity_ema_nolabel": _velocity(averaged.denoise(batch, time).velocity, golden, "velocity_ema_nolabel"),
    }


def _velocity(values: Tensor, golden: Golden, name: str) -> Computed:
    note = "of the features that are generated"
    return Computed(values, note=note, tolerance=VELOCITY, stored=golden[name][..., : values.shape[2]])


def _steps(model: OmniLearn, golden: Golden) -> dict[str, Computed | Skipped]:
    """Steps within the body, of the few jets for which they are stored."""
    import torch

    rows = golden["mid_index"]
    mask, time = _mask(golden)[rows], _tensor(golden, "time")[rows, 0]
    width = model.recipe.width - model.features_generated
    x, mask = model.body.padded(torch.nn.functional.pad(_tensor(golden, "perturbed3")[rows], (0, width)), mask)
    embedded = model.body.embedded(x, mask, time)
    few = len(golden["mid_block0_before_mask"])
    first = next(model.body.blocks.children())
    return {
        "mid_index": Skipped("which jets the steps are of", is_input=True),
        "mid_after_local": Computed(embedded),
        "mid_block0_before_mask": Computed(first(embedded[:few], mask[:few])),
        "mid_body_out": Computed(model.body.run(x, mask, time)),
    }


def _tensor(golden: Golden, name: str) -> Tensor:
    import torch

    return torch.from_numpy(golden[name])


def _mask(golden: Golden) -> Any:
    return _tensor(golden, "mask") > 0
