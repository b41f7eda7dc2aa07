"""Measures that judge generated jets: distances with uncertainties and truth-vs-truth floors, and histograms."""

from jetlab.evaluate.comparison import Comparison, compare, compare_by_class
from jetlab.evaluate.distances import Distance, floor, ks, measure, wasserstein
from jetlab.evaluate.histograms import Ratio, Shape, bin_edges, histogram, ratio, shape
from jetlab.evaluate.images import average_image
from jetlab.evaluate.nearest import nearest_jet
from jetlab.evaluate.observed import Observed, observe
from jetlab.evaluate.samples import Sample
from jetlab.evaluate.tables import distance_table, with_uncertainty

__all__ = [
    "Comparison",
    "Distance",
    "Observed",
    "Ratio",
    "Sample",
    "Shape",
    "average_image",
    "bin_edges",
    "compare",
    "compare_by_class",
    "distance_table",
    "floor",
    "histogram",
    "ks",
    "measure",
    "nearest_jet",
    "observe",
    "ratio",
    "shape",
    "wasserstein",
    "with_uncertainty",
]
