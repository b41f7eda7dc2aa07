"""Average jet images: where in the eta-phi plane the momentum of jets goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets

if TYPE_CHECKING:
    import hist

__all__ = ["average_image"]

FloatArray = npt.NDArray[np.float64]


def average_image(jets: Jets, *, bins: int = 32, radius: float = 0.8, align: bool = True) -> hist.Hist:
    """Mean share of the jet pT in each cell of the (deta, dphi) plane.

    Parameters
    ----------
    jets : Jets
        The jets.
    bins : int
        Cells along each axis.
    radius : float
        Half the width of the image.
    align : bool
        Turn (and mirror) each jet so that the principal axis of its pT in the plane is vertical, with the nearer,
        harder prong up; otherwise prongs in all directions average to a round spot.

    Returns
    -------
    hist.Hist
        Axes ``deta`` and ``dphi``, ``Weight`` storage, normalised to one jet; what lies outside is in the flow bins.

    Raises
    ------
    InvalidJetsError
        If there are no jets with constituents.

    References
    ----------
    .. [1] L. de Oliveira, M. Kagan, L. Mackey, B. Nachman, A. Schwartzman, arXiv:1511.05190.
    """
    import hist

    filled = int((jets.multiplicity > 0).sum())
    if not filled:
        msg = f"no image of {len(jets)} jets: expected at least one jet with constituents"
        raise InvalidJetsError(msg)
    deta, dphi = jets.flat("deta").astype(np.float64), jets.flat("dphi").astype(np.float64)
    share = _pt_share(jets)
    if align:
        deta, dphi = _aligned(deta, dphi, share, _jet_of_each(jets), len(jets))
    axes = [
        hist.axis.Regular(bins, -radius, radius, name=name, label=label)
        for name, label in (("deta", "Δη"), ("dphi", "Δφ [rad]"))
    ]
    image = hist.Hist(*axes, storage=hist.storage.Weight())
    image.fill(deta, dphi, weight=share)
    view = image.view(flow=True)
    view.value /= filled
    view.variance /= filled**2
    return image


def _jet_of_each(jets: Jets) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(jets)), jets.multiplicity)


def _pt_share(jets: Jets) -> FloatArray:
    pt, jet = jets.flat("pt").astype(np.float64), _jet_of_each(jets)
    return pt / np.bincount(jet, weights=pt, minlength=len(jets))[jet]


def _aligned(
    deta: FloatArray, dphi: FloatArray, share: FloatArray, jet: npt.NDArray[np.int64], n: int
) -> tuple[FloatArray, FloatArray]:
    def mean(values: FloatArray) -> FloatArray:
        return np.bincount(jet, weights=share * values, minlength=n).astype(np.float64)

    xx, yy, xy = mean(deta**2), mean(dphi**2), mean(deta * dphi)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the principal axis
    cos, sin = np.cos(angle)[jet], np.sin(angle)[jet]
    along, across = cos * deta + sin * dphi, cos * dphi - sin * deta
    far_side = np.bincount(jet, weights=share * along * np.abs(along), minlength=n)  # the softer prong is farther away
    return across, np.where(far_side > 0, -1.0, 1.0)[jet] * along
