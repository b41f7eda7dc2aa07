"""Figures for notebooks, slides and papers. They are returned, never shown, and set no global style.

Colours come from `jetlab.style`; the numbers drawn come from `jetlab.evaluate`.
"""

from jetlab.evaluate.tables import distance_table
from jetlab.plots.canvas import SlideFigure, as_svg
from jetlab.plots.confusion import confusion_matrix
from jetlab.plots.generation import generation_quality
from jetlab.plots.generators import generators_figure
from jetlab.plots.jets import jet_display, jet_image
from jetlab.plots.monitor import training_monitor
from jetlab.plots.overlay import overlay, overlays
from jetlab.plots.pretraining import pretraining_figure
from jetlab.plots.sampling import quality_by_calls
from jetlab.plots.steps import learning_curves
from jetlab.plots.tokens import codebook_use, token_clouds, token_resolution, tokenizer_sweep
from jetlab.plots.training import training_curves
from jetlab.plots.transfer import transfer_curves

__all__ = [
    "SlideFigure",
    "as_svg",
    "codebook_use",
    "confusion_matrix",
    "distance_table",
    "generation_quality",
    "generators_figure",
    "jet_display",
    "jet_image",
    "learning_curves",
    "overlay",
    "overlays",
    "pretraining_figure",
    "quality_by_calls",
    "token_clouds",
    "token_resolution",
    "tokenizer_sweep",
    "training_curves",
    "training_monitor",
    "transfer_curves",
]
