"""Numbers about a jet as a whole, as a model is told them: what it is to generate, or what is known besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.features.recipe import Feature
from jetlab.jets import Jets

__all__ = ["JET_KINEMATICS", "JetRecipe"]

QUANTITIES = ("pt", "eta", "mass", "energy", "multiplicity")


@dataclass(frozen=True)
class JetRecipe:
    """How quantities of jets become conditions.

    Parameters
    ----------
    name : str
        Kept with every model.
    features : tuple of Feature
        Of ``pt``, ``mass``, ``energy`` [GeV], ``eta`` and ``multiplicity``, in order.

    Raises
    ------
    InvalidJetsError
        If a feature is of none of these quantities.
    """

    name: str
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        unknown = [f.field for f in self.features if f.field not in QUANTITIES]
        if unknown:
            msg = f"jets have no {', '.join(unknown)}; expected quantities among {', '.join(QUANTITIES)}"
            raise InvalidJetsError(msg)

    @property
    def width(self) -> int:
        """Number of conditions."""
        return len(self.features)

    def transform(self, jets: Jets) -> npt.NDArray[np.float32]:
        """Conditions of jets, shape ``(n, C)``."""
        return self.of({f.field: getattr(jets, f.field) for f in self.features})

    def of(self, values: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Conditions of these quantities, each of shape ``(n,)``, as an array of shape ``(n, C)``."""
        columns = [f.forward(np.asarray(values[f.field], dtype=np.float64)) for f in self.features]
        return np.stack(columns, axis=1).astype(np.float32)

    def inverse(self, conditions: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Quantities by name, each of shape ``(n,)``, from conditions ``(n, C)``."""
        return {f.field: f.inverse(conditions[:, i]) for i, f in enumerate(self.features)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> JetRecipe:
        """Rebuild from `to_dict`."""
        return JetRecipe(entries["name"], tuple(Feature(**entry) for entry in entries["features"]))


JET_KINEMATICS = JetRecipe(
    "jet-kinematics",
    (
        Feature("pt", subtract=6.4, multiply=5.0, function="log"),
        Feature("mass", subtract=4.4, function="signed_log"),
        Feature("multiplicity", multiply=0.01),
    ),
)
"""pT and mass [GeV] on logarithmic scales, and the number of constituents over 100."""
