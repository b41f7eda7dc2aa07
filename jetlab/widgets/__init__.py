"""Controls for notebooks: ipywidgets that hold state and layout only, one instance a view.

They need the package ipywidgets: ``pip install jetlab[notebook]``.
"""

from jetlab.widgets.training import TrainingWidget

__all__ = ["TrainingWidget"]
