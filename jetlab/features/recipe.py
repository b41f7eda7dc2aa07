"""What a recipe is: constituents to model inputs and back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.features.quantities import REST, Constituents
from jetlab.jets import Jets
from jetlab.vocabulary import PARTICLE_TYPES

__all__ = ["Feature", "FlatFeatures", "Recipe"]

BLOCK = 1024
"""Jets whose inputs are computed together, so that they stay in the processor's cache."""

LARGEST_TANH = float(np.nextafter(np.float32(1), np.float32(0)))

SOFT = 1e-5
"""What ``signed_log`` adds to the size of a value, as the tokenizers of arXiv:2512.04149 do."""


@dataclass(frozen=True)
class Feature:
    """One model input: ``(f(value) - subtract) * multiply``, clipped if `clip` says so.

    Parameters
    ----------
    field : str
        A quantity of `jetlab.features.Constituents`.
    subtract, multiply : float
    function : {"identity", "log", "exp", "tanh", "signed_log"}
        The function f; ``signed_log`` is ``sign(v) log(1 + |v|)``, for quantities of both signs.
    clip : (float, float), optional
        Smallest and largest input. Values beyond are lost: the inverse gives the limit.
    above, below : float, optional
        Constituents whose value is not above, or not below, are left out with all their inputs.
    """

    field: str
    subtract: float = 0.0
    multiply: float = 1.0
    function: Literal["identity", "log", "exp", "tanh", "signed_log"] = "identity"
    clip: tuple[float, float] | None = None
    above: float | None = None
    below: float | None = None

    def forward(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Physical values to inputs, any shape."""
        if self.function != "identity":
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                values = _FUNCTIONS[self.function](values)
        if self.subtract:
            values = values - self.subtract
        if self.multiply != 1:
            values = values * self.multiply
        if self.clip is not None:
            values = np.clip(values, *self.clip)
        return values.astype(np.float32, copy=False)

    def inverse(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Inputs back to physical values, any shape; a tanh that has reached 1 gives the largest value below."""
        values = np.asarray(inputs, dtype=np.float64) / self.multiply + self.subtract
        return values if self.function == "identity" else _INVERSES[self.function](values)

    def keeps(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Where physical values are within `above` and `below`, both excluded, any shape."""
        keep = np.ones(values.shape, dtype=bool)
        if self.above is not None:
            keep &= values > self.above
        if self.below is not None:
            keep &= values < self.below
        return keep


def _signed_log(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.sign(values) * np.log1p(np.abs(values) + SOFT)


def _signed_exp(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.sign(values) * (np.expm1(np.abs(values)) - SOFT)


_FUNCTIONS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "log": np.log,
    "exp": np.exp,
    "tanh": np.tanh,
    "signed_log": _signed_log,
}
_INVERSES: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "log": np.exp,
    "exp": np.log,
    "tanh": lambda values: np.arctanh(np.clip(values, -LARGEST_TANH, LARGEST_TANH)),
    "signed_log": _signed_exp,
}


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
        Inputs in order; ``pt`` [GeV], ``deta`` (or ``deta_outward``) and ``dphi`` must be among them for the inverse
        to exist.
    max_particles : int
        Only this many hardest constituents are kept.
    max_distance : float, optional
        Constituents with ``|deta|`` or ``|dphi|`` at or above this are left out; None keeps all.
    fill : float, optional
        Input that takes the place of one that is not a number; infinite ones become the largest number. None leaves
        both as they are. Matters only to raw columns, since `Jets` hold finite numbers.
    """

    name: str
    features: tuple[Feature, ...]
    max_particles: int = 128
    max_distance: float | None = 0.8
    fill: float | None = None

    @property
    def width(self) -> int:
        """Number of inputs of a constituent."""
        return len(self.features)

    def column(self, field: str) -> int:
        """Place of the input of this field.

        Raises
        ------
        KeyError
            If the recipe does not have it.
        """
        names = [f.field for f in self.features]
        if field not in names:
            msg = f"recipe {self.name} has no input {field!r}; it has {', '.join(names)}"
            raise KeyError(msg)
        return names.index(field)

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
        InvalidJetsError
            If there are no jets, or their constituents lack a field that the recipe needs.
        """
        _check_gev(jets)
        constituents = self._near(Constituents.of(jets))
        cut = _rank(constituents) >= self.max_particles
        if cut.any():
            pt, jet = constituents["pt"], np.repeat(np.arange(len(jets)), constituents.counts)
            warnings.warn(
                f"{len(np.unique(jet[cut]))} of {len(jets)} jets have more than {self.max_particles} constituents; "
                f"their softest ones are left out, at most {_largest_loss(pt, jet, cut):.2%} of a jet's pT",
                stacklevel=2,
            )
        return self._inputs(constituents)

    def kept(self, jets: Jets) -> npt.NDArray[np.int64]:
        """Rows of the constituents that `transform` keeps among all, in the order of its inputs, shape ``(m,)``."""
        known = Constituents.of(jets)
        rows = {"row": np.arange(known.offsets[-1])}
        near = self._near(Constituents(known.offsets, {**known.columns, **rows}, known.jets))
        return near["row"][_rank(near) < self.max_particles]

    def from_columns(
        self,
        offsets: npt.NDArray[np.int64],
        columns: Mapping[str, npt.NDArray[Any]],
        *,
        jets: Mapping[str, npt.NDArray[Any]],
    ) -> FlatFeatures:
        """Turn raw flat columns into flat inputs: the fast way for streams, with nothing checked but what is there.

        Parameters
        ----------
        offsets : ndarray of int, shape (n + 1,)
            Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``, by falling pT.
        columns : mapping of str to ndarray, shape (m,)
            Quantities by the names of `jetlab.features.Constituents`; `jetlab.features.JETCLASS_COLUMNS` names those of
            a JetClass file. Numbers that are not float32 cost time.
        jets : mapping of str to ndarray, shape (n,)
            ``pt`` [GeV], ``energy`` [GeV], ``eta`` of the jets.

        Raises
        ------
        InvalidJetsError
            If columns lack that the recipe needs.
        """
        return self._inputs(self._near(Constituents(offsets, columns, jets)))

    def _near(self, constituents: Constituents) -> Constituents:
        """Without the constituents that are too far from the axis, or that an input leaves out."""
        self._check_known(constituents.block(0, 0))
        limited = [f for f in self.features if f.above is not None or f.below is not None]
        if self.max_distance is None and not limited:
            return constituents
        keep = constituents["pt"] > 0
        if self.max_distance is not None:
            keep &= np.abs(constituents["deta"]) < self.max_distance
            keep &= np.abs(constituents["dphi"]) < self.max_distance
        for feature in limited:
            keep &= feature.keeps(constituents[feature.field])
        return constituents.where(keep)

    def _inputs(self, constituents: Constituents) -> FlatFeatures:
        kept = np.minimum(constituents.counts, self.max_particles)
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        x = np.empty((int(offsets[-1]), self.width), np.float32)
        for first in range(0, len(constituents), BLOCK):
            last = min(first + BLOCK, len(constituents))
            block = constituents.block(first, last)
            if block.counts.max() > self.max_particles:
                block = block.where(_rank(block) < self.max_particles)
            x[offsets[first] : offsets[last]] = self._block(block).T
        return FlatFeatures(x, offsets)

    def _block(self, constituents: Constituents) -> npt.NDArray[np.float32]:
        """Inputs of a few jets, input by input, shape ``(F, m)``."""
        block = np.empty((self.width, int(constituents.offsets[-1])), np.float32)
        for row, feature in zip(block, self.features, strict=True):
            row[:] = feature.forward(constituents[feature.field])
        if self.fill is not None and not np.isfinite(block.sum()):
            np.nan_to_num(block, copy=False, nan=self.fill)
        return block

    def _check_known(self, constituents: Constituents) -> None:
        missing = []
        for feature in self.features:
            try:
                constituents[feature.field]
            except KeyError as error:
                missing.append(str(error.args[0]))
        if missing:
            known = [*constituents.columns, *(f"jet {name}" for name in constituents.jets)]
            msg = (
                f"recipe {self.name} needs {', '.join(dict.fromkeys(missing))}, which these constituents do not have; "
                f"there are {', '.join(known)}. Take a recipe, or a model, without them"
            )
            raise InvalidJetsError(msg)

    def inverse(
        self,
        x: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        *,
        axis_eta: npt.NDArray[Any] | None = None,
        axis_phi: npt.NDArray[Any] | None = None,
        jet_pt: npt.NDArray[Any] | None = None,
        label: npt.NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Jets:
        """Turn flat inputs back into jets of massless constituents, with charge, type and impact parameters if known.

        Parameters
        ----------
        x : ndarray, shape (m, F)
            All inputs, or only the first few, those that a model generates.
        offsets : ndarray of int, shape (n + 1,)
        axis_eta, axis_phi : ndarray, shape (n,), optional
            Direction of the jet axes; zero if not given. A recipe with ``deta_outward`` takes the side from `axis_eta`.
        jet_pt : ndarray, shape (n,), optional
            pT of the jets [GeV], for inputs that tell only what a constituent leaves of it (``ptrest``).
        label, classes, meta
            Passed on to `Jets`.

        Raises
        ------
        InvalidJetsError
            If the inputs do not tell the pT of constituents.
        """
        values = {f.field: f.inverse(x[:, i]) for i, f in enumerate(self.features[: x.shape[1]])}
        counts = np.diff(offsets)
        if "pt" not in values:
            values["pt"] = self._pt_of_rest(values.get("ptrest"), counts, jet_pt)
        none = np.zeros(len(counts))
        axis_eta, axis_phi = none if axis_eta is None else axis_eta, none if axis_phi is None else axis_phi
        if "deta_outward" in values:
            values["deta"] = values["deta_outward"] * np.repeat(np.where(np.asarray(axis_eta) > 0, 1, -1), counts)
        columns = {
            "pt": values["pt"],
            "eta": values["deta"] + np.repeat(axis_eta, counts),
            "phi": values["dphi"] + np.repeat(axis_phi, counts),
            "mass": np.zeros(len(x)),
        }
        columns |= {name: values[name] for name in ("d0", "d0err", "dz", "dzerr") if name in values}
        if "charge" in values:
            columns["charge"] = np.rint(values["charge"])
        if all(name in values for name in PARTICLE_TYPES):
            flags = np.stack([values[name] for name in PARTICLE_TYPES]) > 0.5
            columns["ptype"] = np.where(flags.any(axis=0), flags.argmax(axis=0), -1)
        if classes is None:
            return Jets.from_flat(offsets, columns, label=label, meta=meta)
        return Jets.from_flat(offsets, columns, label=label, classes=classes, meta=meta)

    def _pt_of_rest(
        self, rest: npt.NDArray[Any] | None, counts: npt.NDArray[np.int64], jet_pt: npt.NDArray[Any] | None
    ) -> npt.NDArray[Any]:
        """PT of constituents that leave this fraction of their jet's, at least a millionth of it."""
        if rest is None or jet_pt is None:
            lacking = "neither pt nor ptrest" if rest is None else "only what constituents leave of the pT of the jet"
            msg = (
                f"the inputs of recipe {self.name} tell {lacking}; give inputs with pt, or jet_pt to those with ptrest"
            )
            raise InvalidJetsError(msg)
        return np.maximum(1 + REST - rest, REST) * np.repeat(jet_pt, counts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from `to_dict`."""
        return Recipe(**{**entries, "features": tuple(_feature(f) for f in entries["features"])})


def _feature(entries: Mapping[str, Any]) -> Feature:
    clip = entries.get("clip")
    return Feature(**{**entries, "clip": None if clip is None else (float(clip[0]), float(clip[1]))})


def _rank(constituents: Constituents) -> npt.NDArray[np.int64]:
    """Place of each constituent in its jet, from 0."""
    return np.arange(constituents.offsets[-1]) - np.repeat(constituents.offsets[:-1], constituents.counts)


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
