"""The one training loop, for pretraining and fine-tuning, and the `Run` that it returns."""

from __future__ import annotations

from jetlab.train.loop import fit
from jetlab.train.run import Run
from jetlab.train.training import Batch, Dataset, Objective

__all__ = ["Batch", "Dataset", "Objective", "Run", "fit"]
