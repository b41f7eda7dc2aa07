"""What physicists do with the models: one file a task, no plots."""

from __future__ import annotations

from jetlab.tasks.events import classify_events, fine_tune_events, fit_events
from jetlab.tasks.finetune import Learning, fine_tune
from jetlab.tasks.tagging import classify, remembered_inputs
from jetlab.tasks.transfer import transfer_curve

__all__ = [
    "Learning",
    "classify",
    "classify_events",
    "fine_tune",
    "fine_tune_events",
    "fit_events",
    "remembered_inputs",
    "transfer_curve",
]
