"""Several objectives at once, on models that share an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.masking import MaskedBatch
from jetlab.models.pretrainer import Pretrainer
from jetlab.objectives.loss import Loss

__all__ = ["Mixture", "PartObjective"]


class PartObjective(Protocol):
    """An objective, such as `JEPA` or `FlowMatching`."""

    def __call__(self, model: nn.Module, batch: Any, generator: torch.Generator | None = None) -> Loss:
        """Loss and terms of a batch."""
        ...


@dataclass(frozen=True)
class Mixture:
    """Weighted sum of what the parts of a `Pretrainer` learn.

    Parameters
    ----------
    parts : mapping of str to (objective, float)
        Objective and weight of each part, by its name.

    Raises
    ------
    JetLabError
        If there are no parts, or a weight is not positive.
    """

    parts: Mapping[str, tuple[PartObjective, float]]

    def __post_init__(self) -> None:
        if not self.parts or not all(weight > 0 for _, weight in self.parts.values()):
            weights = ", ".join(f"{name} {weight}" for name, (_, weight) in self.parts.items()) or "none"
            msg = f"a mixture needs objectives with positive weights, found {weights}"
            raise JetLabError(msg)

    def __call__(
        self, model: nn.Module, batch: ParticleBatch | MaskedBatch, generator: torch.Generator | None = None
    ) -> Loss:
        """Loss and terms of a batch; the terms of each part carry its name.

        Raises
        ------
        TypeError
            If the model is not a `Pretrainer`.
        JetLabError
            If it lacks a part.
        """
        if not isinstance(model, Pretrainer):
            msg = f"Mixture trains a Pretrainer, found {type(model).__name__}"
            raise TypeError(msg)
        if missing := [name for name in self.parts if name not in model.parts]:
            msg = f"the Pretrainer has no part {', '.join(missing)}; it has {', '.join(model.parts)}"
            raise JetLabError(msg)
        losses: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        for name, (objective, weight) in self.parts.items():
            loss, found = objective(model.parts[name], model.batch_for(name, batch), generator)
            losses.append(weight * loss)
            terms |= {name if term == "loss" else f"{name}_{term}": v for term, v in found.items() if term != "weight"}
        total = torch.stack(losses).sum()
        jets = batch.batch if isinstance(batch, MaskedBatch) else batch
        return total, {"loss": total.detach(), **terms, "weight": torch.tensor(len(jets.mask))}
