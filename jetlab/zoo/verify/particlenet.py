"""ParticleNet of JetClass against stored outputs of the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor, nn

    from jetlab.models.tagger import Tagger

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "particlenet"

DEFAULT = Tolerance(relative=5e-6, absolute=1e-6)

LOGITS, BLOCK, NORMED = Tolerance(absolute=2e-4), Tolerance(absolute=1e-4), Tolerance(absolute=1e-5)
"""Of logits, which reach 70: theirs carry up to 4e-5 of rounding; of the first block; of the normed inputs."""

JETS_AT_ONCE = 64


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays, of the jets and of the strange jets (``edge_``).

    Raises
    ------
    CheckpointError
        If the model is not such a network.
    """
    from jetlab.models.particlenet import ParticleNet
    from jetlab.models.tagger import Tagger

    if not isinstance(model, Tagger) or not isinstance(model.backbone, ParticleNet):
        msg = f"{golden.checkpoint} is a {type(model).__name__}, expected a ParticleNet tagger"
        raise CheckpointError(msg)
    found: dict[str, Computed | Skipped] = {}
    for prefix in ("", "edge_"):
        if f"{prefix}logits" in golden:
            found |= _jets(model, golden, prefix)
    return found | _steps(model, golden)


def _jets(model: Tagger, golden: Golden, prefix: str) -> dict[str, Computed | Skipped]:
    used = {
        **{f"{prefix}raw_{name}": ours for name, ours in JETCLASS_COLUMNS.items()},
        **{f"{prefix}raw_{name}": ours for name, ours in JETCLASS_JET_COLUMNS.items()},
    }
    features = model.recipe.from_columns(
        golden[f"{prefix}raw_offsets"],
        {ours: golden[f"{prefix}raw_{name}"] for name, ours in JETCLASS_COLUMNS.items()},
        jets={ours: golden[f"{prefix}raw_{name}"] for name, ours in JETCLASS_JET_COLUMNS.items()},
    )
    mask = golden[f"{prefix}mask"][:, 0] > 0
    kept = np.diff(features.offsets)
    ours = np.arange(mask.shape[1]) < kept[:, None]
    x = np.zeros((*mask.shape, model.recipe.width), np.float32)
    x[ours] = features.x
    place = x[:, :, [model.recipe.column("deta_outward"), model.recipe.column("dphi")]]
    logits = _logits(model, x, ours)
    real = np.broadcast_to(mask[:, None, :], golden[f"{prefix}features"].shape)
    repeated = "theirs repeats particles in the padding"
    found: dict[str, Computed | Skipped] = {
        f"{prefix}logits": Computed(logits, tolerance=LOGITS),
        f"{prefix}features": Computed(x.transpose(0, 2, 1), real, repeated, Tolerance(absolute=1e-6)),
        f"{prefix}points": Computed(place.transpose(0, 2, 1), real[:, :2], repeated, Tolerance()),
        f"{prefix}mask": Computed(ours[:, None, :]),
        f"{prefix}vectors": Skipped("four-momenta are no input of this network"),
        f"{prefix}label": Skipped("classes of the jets, not computed"),
    }
    raw = [name for name in golden.arrays if name.startswith(f"{prefix}raw_")]
    found |= {name: Skipped("column that this network does not need") for name in raw}
    return found | {name: Skipped("given to the recipe", is_input=True) for name in (*used, f"{prefix}raw_offsets")}


def _logits(model: Tagger, x: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    import torch

    from jetlab.batches import ParticleBatch

    parts = [slice(i, i + JETS_AT_ONCE) for i in range(0, len(x), JETS_AT_ONCE)]
    batches = (ParticleBatch(torch.from_numpy(x[part]), torch.from_numpy(mask[part])) for part in parts)
    return torch.cat([model(batch) for batch in batches]).numpy()


def _steps(model: Tagger, golden: Golden) -> dict[str, Computed | Skipped]:
    """Steps within the network, of the few jets for which they are stored."""
    import torch

    from jetlab.batches import ParticleBatch
    from jetlab.kernels.neighbours import neighbours

    if "mid_index" not in golden:
        return {}
    rows = golden["mid_index"]
    mask = torch.from_numpy(golden["mask"][rows, 0] > 0)
    x = torch.from_numpy(golden["features"][rows].transpose(0, 2, 1).copy())
    net = model.backbone
    normed = torch.zeros_like(x)
    normed[mask] = net.norm(x[mask])
    slots = _slots(mask)
    near = neighbours(x[mask][:, net.place], slots, k=golden["mid_knn0"].shape[-1])
    first = next(net.blocks.children())(net.norm(x[mask]), near)
    few = len(golden["mid_edgeconv0"])
    block = torch.zeros(*mask.shape, first.shape[1])
    block[mask] = first
    places = torch.from_numpy(golden["mid_knn0"].astype(np.int64))
    theirs = slots[:, None, :].expand(-1, places.shape[1], -1).gather(2, places)
    ours = torch.zeros_like(theirs)
    ours[mask] = near
    real, as_sets = mask.numpy(), "as sets: neighbours in any order"
    return {
        "mid_index": Skipped("which jets the steps are of", is_input=True),
        "mid_bn_fts": Computed(_turned(normed), _wide(real, x.shape[2]), tolerance=NORMED),
        "mid_edgeconv0": Computed(_turned(block[:few]), _wide(real[:few], first.shape[1]), tolerance=BLOCK),
        "mid_knn0": Computed(ours.sort(-1).values, real, as_sets, stored=theirs.sort(-1).values),
        "mid_pooled": Computed(net.encode(ParticleBatch(x, mask)).jet),
    }


def _turned(x: Tensor) -> npt.NDArray[Any]:
    """``(B, N, D)`` to ``(B, D, N)``."""
    return x.transpose(1, 2).numpy()


def _wide(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    return np.repeat(mask[:, None, :], width, axis=1)


def _slots(mask: Tensor) -> Tensor:
    """Number of each real particle among all, and one beyond the last where padded, shape ``(B, N)``."""
    return (mask.flatten().cumsum(0).view(mask.shape) - 1).masked_fill(~mask, int(mask.sum()))
