"""What physicists do with the models: one file a task, no plots."""

from __future__ import annotations

from jetlab.tasks.tagging import classify

__all__ = ["classify"]
