"""Particle Transformers of JetClass against stored outputs of the original.

The squared mass of nearly massless pairs is rounding in float32, so the logits are compared in float64 too.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from torch import nn

    from jetlab.batches import ParticleBatch
    from jetlab.models.tagger import Tagger

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "part_v1"

DEFAULT = Tolerance(absolute=1e-4)
"""In float32, with the pair features in the order of operations of the original."""

DOUBLE = Tolerance(absolute=1e-7)

P4 = ("part_energy", "part_px", "part_py", "part_pz")
"""Columns of the four-momenta in our order; theirs has the energy last."""


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays, of the jets and of the strange jets (``edge_``).

    Raises
    ------
    CheckpointError
        If the model is not such a network.
    """
    import torch

    from jetlab.models.part import ParT
    from jetlab.models.tagger import Tagger

    if not isinstance(model, Tagger) or not isinstance(model.backbone, ParT):
        msg = f"{golden.checkpoint} is a {type(model).__name__}, expected a Particle Transformer tagger"
        raise CheckpointError(msg)
    double = copy.deepcopy(model).double()
    found: dict[str, Computed | Skipped] = {}
    for prefix in ("", "edge_"):
        if f"{prefix}logits" in golden:
            found[f"{prefix}logits"] = Computed(model(_batch(golden, prefix)).numpy())
        if f"{prefix}logits_f64" in golden:
            logits = double(_batch(golden, prefix, dtype=torch.float64))
            found[f"{prefix}logits_f64"] = Computed(logits.numpy(), tolerance=DOUBLE)
        given = (f"{prefix}features", f"{prefix}vectors", f"{prefix}mask")
        found |= {name: Skipped("given to the network", is_input=True) for name in given}
    found["label"] = Skipped("classes of the jets, not computed")
    return found | _inputs(model, golden) | _steps(model, golden)


def _batch(
    golden: Golden,
    prefix: str = "",
    *,
    rows: npt.NDArray[np.int64] | slice = slice(None),
    slots: int | None = None,
    dtype: torch.dtype | None = None,
) -> ParticleBatch:
    """The stored inputs of some jets, with zero in place of the repeated particles in the padding."""
    import torch

    from jetlab.batches import ParticleBatch

    mask = torch.from_numpy(golden[f"{prefix}mask"][rows, 0, :slots] > 0)
    features, vectors = (
        torch.from_numpy(golden[f"{prefix}{name}"][rows, :, :slots]).to(dtype).transpose(1, 2) * mask[..., None]
        for name in ("features", "vectors")
    )
    return ParticleBatch(features, mask, p4=vectors.roll(1, -1))


def _inputs(model: Tagger, golden: Golden) -> dict[str, Computed | Skipped]:
    """What our recipe makes of the raw columns, and the four-momenta in them, against the stored inputs."""
    if "raw_offsets" not in golden:
        return {}
    raw, offsets = {**JETCLASS_COLUMNS, "part_pz": "pz"}, golden["raw_offsets"]
    features = model.recipe.from_columns(
        offsets,
        {ours: golden[f"raw_{name}"] for name, ours in raw.items()},
        jets={ours: golden[f"raw_{name}"] for name, ours in JETCLASS_JET_COLUMNS.items()},
    )
    mask = golden["mask"][:, 0] > 0
    real = np.arange(mask.shape[1]) < np.diff(features.offsets)[:, None]
    x = np.zeros((*mask.shape, model.recipe.width), np.float32)
    x[real] = features.x
    p4 = np.zeros((*mask.shape, 4), np.float32)
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    columns = np.stack([golden[f"raw_{name}"] for name in (*P4[1:], P4[0])], 1)
    p4[real] = columns[place < model.recipe.max_particles]
    repeated = "theirs repeats particles in the padding"
    found: dict[str, Computed | Skipped] = {
        "features": Computed(x.transpose(0, 2, 1), _wide(mask, x), repeated, Tolerance(absolute=1e-6)),
        "vectors": Computed(p4.transpose(0, 2, 1), _wide(mask, p4), repeated, Tolerance()),
        "mask": Computed(real[:, None, :]),
    }
    left = [name for name in golden.arrays if name.startswith("raw_")]
    found |= {name: Skipped("column that this network does not need") for name in left}
    used = ("offsets", *raw, *JETCLASS_JET_COLUMNS)
    return found | {f"raw_{name}": Skipped("given to the recipe", is_input=True) for name in used}


def _steps(model: Tagger, golden: Golden) -> dict[str, Computed | Skipped]:
    """Steps within the network, of the few jets for which they are stored."""
    if "mid_index" not in golden:
        return {}
    net: Any = model.backbone
    batch = _batch(golden, rows=golden["mid_index"], slots=golden["mid_embed"].shape[1])
    real, few = batch.mask[..., None], len(golden["mid_pair_bias"])
    first = net.particles(batch)
    pairs = net.pairs(batch.p4, batch.mask)
    encoding = net.encode(batch)
    return {
        "mid_index": Skipped("which jets the steps are of", is_input=True),
        "mid_embed": Computed(first.numpy()),
        "mid_pair_bias": Computed(pairs[:few].numpy()),
        "mid_block0": Computed((net.blocks[0](first, net.bias(batch)) * real).numpy()),
        "mid_block_last": Computed(encoding.particles.numpy()),
        "mid_cls_norm": Computed(encoding.jet.numpy()),
    }


def _wide(mask: npt.NDArray[np.bool_], like: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.repeat(mask[:, None, :], like.shape[2], axis=1)
