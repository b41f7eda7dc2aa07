"""What physicists do with the models: one file a task, no plots."""

from __future__ import annotations

from jetlab.tasks.tagging import classify, remembered_inputs

__all__ = ["classify", "remembered_inputs"]
