"""Watch a backbone learn: what its embeddings of jets are good for, and whether they collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import InvalidJetsError
from jetlab.evaluate.collapse import effective_rank, similarity, spread
from jetlab.evaluate.probes import Embedded, linear_probe, neighbour_probe
from jetlab.models.tagger import Tagger
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.labelled import encoded

if TYPE_CHECKING:
    from torch import nn

    from jetlab.jets import Jets
    from jetlab.train import Dataset

__all__ = ["Probes"]


class Probes:
    """Looks at a model during its training; give it to `jetlab.fit` as ``watch``.

    Parameters
    ----------
    known, asked : Jets
        Labelled jets with the same classes: those that probes learn from, and those they are asked about. The model
        learns from neither.
    neighbours : int
        With a vote in the nearest-neighbour probe.

    Raises
    ------
    InvalidJetsError
        If jets carry no labels, or the classes differ.
    """

    def __init__(self, known: Jets, asked: Jets, *, neighbours: int = 20) -> None:
        if known.label is None or asked.label is None or known.classes != asked.classes:
            msg = "probes need labelled jets of the same classes, to learn from and to be asked about"
            raise InvalidJetsError(msg)
        self.jets, self.neighbours = (known, asked), neighbours
        self._data: list[Dataset] | None = None

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Accuracy of ``linear_probe`` and ``neighbour_probe``; ``spread``, ``effective_rank``, ``similarity``.

        Parameters
        ----------
        model : torch.nn.Module
            With a backbone, as for `jetlab.tasks.finetune.backbone_of`.
        """
        known, asked = self._embedded(model)
        values = asked.values
        return {
            "linear_probe": linear_probe(known, asked)[0],
            "neighbour_probe": neighbour_probe(known, asked, neighbours=self.neighbours)[0],
            "spread": spread(values),
            "effective_rank": effective_rank(values),
            "similarity": similarity(values),
        }

    def _embedded(self, model: nn.Module) -> tuple[Embedded, Embedded]:
        reader = Tagger.on(backbone_of(model), self.jets[0].classes)
        if self._data is None:
            self._data = [reader.prepare(jets) for jets in self.jets]
        known, asked = (
            Embedded(encoded(reader, data).jet.astype(np.float64), np.asarray(jets.label))
            for data, jets in zip(self._data, self.jets, strict=True)
        )
        return known, asked
