"""From constituents to model inputs and back, by named recipes with an exact inverse that travel with each model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.jets import Jets

__all__ = ["OMNIJET_RECIPE", "Feature", "FlatFeatures", "Recipe"]


@dataclass(frozen=True)
class Feature:
    """One model input: ``(f(value) - subtract) * multiply`` with ``f`` the identity or the logarithm."""

    field: str
    subtract: float = 0.0
    multiply: float = 1.0
    function: Literal["identity", "log"] = "identity"

    def forward(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Physical values to inputs, any shape."""
        values = np.log(values) if self.function == "log" else values
        return ((values - self.subtract) * self.multiply).astype(np.float32)

    def inverse(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Inputs back to physical values, any shape."""
        values = np.asarray(inputs, dtype=np.float64) / self.multiply + self.subtract
        return np.exp(values) if self.function == "log" else values


@dataclass(frozen=True)
class FlatFeatures:
    """Model inputs of many jets, flat: `x` of shape ``(m, F)`` float32, `offsets` of shape ``(n + 1,)``."""

    x: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How constituents become inputs.

    Parameters
    ----------
    name : str
        Name of the recipe, kept with every model.
    features : tuple of Feature
        Inputs in order; ``pt`` [GeV], ``deta`` and ``dphi`` must be among them for the inverse to exist.
    max_particles : int
        Only this many hardest constituents are kept.
    max_distance : float
        Constituents with ``|deta|`` or ``|dphi|`` at or above this are left out.
    """

    name: str
    features: tuple[Feature, ...]
    max_particles: int = 128
    max_distance: float = 0.8

    @property
    def width(self) -> int:
        """Number of inputs of a constituent."""
        return len(self.features)

    def transform(self, jets: Jets) -> FlatFeatures:
        """Turn jets into flat inputs.

        Warns
        -----
        UserWarning
            If jets have more than `max_particles` constituents; says how many and what they lose.

        Raises
        ------
        UnitsError
            If constituent pT looks relative instead of in GeV.
        """
        _check_gev(jets)
        deta, dphi, pt = jets.flat("deta"), jets.flat("dphi"), jets.flat("pt")
        keep = (np.abs(deta) < self.max_distance) & (np.abs(dphi) < self.max_distance) & (pt > 0)
        jet = np.repeat(np.arange(len(jets)), jets.multiplicity)
        before = np.concatenate([[0], np.cumsum(keep)])
        rank = before[:-1] - np.repeat(before[jets.offsets[:-1]], jets.multiplicity)
        cut = keep & (rank >= self.max_particles)
        if cut.any():
            warnings.warn(
                f"{len(np.unique(jet[cut]))} of {len(jets)} jets have more than {self.max_particles} constituents; "
                f"their softest ones are left out, at most {_largest_loss(pt, jet, cut):.2%} of a jet's pT",
                stacklevel=2,
            )
        keep &= ~cut
        columns = {"pt": pt[keep], "deta": deta[keep], "dphi": dphi[keep]}
        x = np.stack([f.forward(columns[f.field]) for f in self.features], axis=1)
        counts = np.bincount(jet[keep], minlength=len(jets))
        return FlatFeatures(x, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def inverse(
        self,
        x: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        *,
        axis_eta: npt.NDArray[Any] | None = None,
        axis_phi: npt.NDArray[Any] | None = None,
        label: npt.NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Jets:
        """Turn flat inputs back into jets of massless constituents.

        Parameters
        ----------
        x : ndarray, shape (m, F)
        offsets : ndarray of int, shape (n + 1,)
        axis_eta, axis_phi : ndarray, shape (n,), optional
            Direction of the jet axes; zero if not given.
        label, classes, meta
            Passed on to `Jets`.
        """
        values = {f.field: f.inverse(x[:, i]) for i, f in enumerate(self.features)}
        counts = np.diff(offsets)
        eta, phi = values["deta"], values["dphi"]
        if axis_eta is not None and axis_phi is not None:
            eta, phi = eta + np.repeat(axis_eta, counts), phi + np.repeat(axis_phi, counts)
        columns = {"pt": values["pt"], "eta": eta, "phi": phi, "mass": np.zeros(len(eta))}
        if classes is None:
            return Jets.from_flat(offsets, columns, label=label, meta=meta)
        return Jets.from_flat(offsets, columns, label=label, classes=classes, meta=meta)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from `to_dict`."""
        return Recipe(**{**entries, "features": tuple(Feature(**f) for f in entries["features"])})


OMNIJET_RECIPE = Recipe(
    "omnijet",
    (
        Feature("pt", subtract=1.8, function="log"),
        Feature("deta", multiply=3.0),
        Feature("dphi", multiply=3.0),
    ),
)
"""The published OmniJet-alpha inputs (arXiv:2403.05618): log pT [GeV] - 1.8, 3 deta, 3 dphi."""


def _check_gev(jets: Jets) -> None:
    if not len(jets):
        msg = "there are no jets to transform; expected at least one"
        raise InvalidJetsError(msg)
    pt = jets.flat("pt")
    median = float(np.median(pt)) if pt.size else 1.0
    if median < 0.1:
        msg = (
            f"the median constituent pT is {median:.3g}, expected GeV: this looks like pT relative to the jet. "
            "Multiply it by the jet pT in GeV"
        )
        raise UnitsError(msg)


def _largest_loss(pt: npt.NDArray[Any], jet: npt.NDArray[np.int64], cut: npt.NDArray[np.bool_]) -> float:
    lost, total = np.bincount(jet[cut], weights=pt[cut]), np.bincount(jet, weights=pt)[: jet[cut].max() + 1]
    return float(np.max(lost / np.maximum(total, 1e-9)))
