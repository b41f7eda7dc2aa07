"""Measures that judge generated jets: distances with uncertainties and truth-vs-truth floors, and histograms."""

from jetlab.evaluate.codebook import codebook_counts, codebook_usage
from jetlab.evaluate.collapse import effective_rank, similarity, spread
from jetlab.evaluate.comparison import Comparison, compare, compare_by_class
from jetlab.evaluate.distances import Distance, floor, ks, measure, wasserstein
from jetlab.evaluate.emd import coverage_and_matching, emds
from jetlab.evaluate.frechet import fpd, kpd, physics_distances
from jetlab.evaluate.histograms import Ratio, Shape, bin_edges, histogram, ratio, shape
from jetlab.evaluate.images import average_image
from jetlab.evaluate.jetnet import JetNetPlan, jetnet_table
from jetlab.evaluate.nearest import nearest_jet
from jetlab.evaluate.observed import Observed, observe
from jetlab.evaluate.probes import Embedded, linear_probe, neighbour_probe
from jetlab.evaluate.relative import relative_particles
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.evaluate.samples import Sample
from jetlab.evaluate.tables import distance_table, with_uncertainty
from jetlab.evaluate.tagging import Confusion, auc, confusion_matrix, rejection, separation, tagging_table
from jetlab.evaluate.tokens import Rebuilt, cloud_spread, rebuild, resolution, token_cloud

__all__ = [
    "QUANTITIES",
    "Comparison",
    "Confusion",
    "Distance",
    "Embedded",
    "JetNetPlan",
    "Observed",
    "Ratio",
    "Rebuilt",
    "Sample",
    "Shape",
    "auc",
    "average_image",
    "bin_edges",
    "cloud_spread",
    "codebook_counts",
    "codebook_usage",
    "compare",
    "compare_by_class",
    "confusion_matrix",
    "coverage_and_matching",
    "distance_table",
    "effective_rank",
    "emds",
    "floor",
    "fpd",
    "histogram",
    "jetnet_table",
    "kpd",
    "ks",
    "linear_probe",
    "measure",
    "nearest_jet",
    "neighbour_probe",
    "observe",
    "physics_distances",
    "ratio",
    "rebuild",
    "rejection",
    "relative_particles",
    "resolution",
    "separation",
    "shape",
    "similarity",
    "spread",
    "tagging_table",
    "token_cloud",
    "wasserstein",
    "with_uncertainty",
]
