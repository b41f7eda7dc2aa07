"""The class `Jets`, and joining several of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets.checks import check_label, check_offsets, check_per_jet, check_units, check_values, whole_numbers
from jetlab.jets.columns import PARTICLE_FIELDS, flatten, frozen, jagged, rows_of, sort_by_pt, wrap_phi
from jetlab.jets.domains import JETS, domain_named
from jetlab.vocabulary import CLASSES

__all__ = ["Jets", "concatenate"]

FloatArray = npt.NDArray[np.float64]


_AT_ONCE = 1_000
"""Jets whose momenta are added up together, so that they stay in the processor's cache."""


class Jets:
    """An immutable set of jets with their constituents, jet-level columns, labels and provenance.

    Parameters
    ----------
    particles : awkward.Array
        Records of shape ``(n, var)`` with fields ``pt``, ``eta``, ``phi``, ``mass`` and optionally ``charge``,
        ``ptype`` (code into `jetlab.vocabulary.PARTICLE_TYPES`), ``d0``, ``d0err``, ``dz``, ``dzerr``. GeV, radians,
        mm. Constituents are sorted by falling pT here if they are not already.
    label : array_like of int, shape (n,), optional
        Index into `classes`.
    classes : sequence of str
        Class names; by default the ten of JetClass.
    info : mapping of str to array_like, optional
        Further columns with one value a jet, such as ``jet_sdmass`` or ``split``.
    meta : mapping, optional
        JSON-safe provenance: source, seed, settings, citation.
    domain : {"jets", "neutrino"}
        What one entry is. Neutrino events are sets of tokens with the further fields ``dedx``, ``pos_x``, ``pos_y``,
        ``pos_z`` [mm] and ``time`` [ns]; their ``ptype`` counts `jetlab.vocabulary.TOKEN_TYPES`.
    check : bool
        Validate the numbers; switch off only for jets that were validated before.

    Raises
    ------
    InvalidJetsError
        If a value is not finite or not physical, or lengths disagree; the message names field, jet and value.
    UnitsError
        If the momenta are finite but cannot be in GeV.
    """

    def __init__(
        self,
        particles: ak.Array,
        *,
        label: npt.ArrayLike | None = None,
        classes: Sequence[str] = CLASSES,
        info: Mapping[str, npt.ArrayLike] | None = None,
        meta: Mapping[str, Any] | None = None,
        domain: str = JETS.name,
        check: bool = True,
    ) -> None:
        kind = domain_named(domain)
        self._offsets, self._columns = flatten(particles, kind)
        self.domain = domain
        self.classes = tuple(classes)
        self.meta = dict(meta or {}) | ({} if kind is JETS else {"domain": domain})
        self._label = None if label is None else whole_numbers(np.asarray(label), "label", np.int64)
        self._info = {name: np.asarray(values) for name, values in (info or {}).items()}
        if check:
            _check_per_jet(self)
            check_values(self._offsets, self._columns, domain=kind)
            check_units(getattr(self, kind.scale)[self.multiplicity > 0], domain=kind)
        sort_by_pt(self._offsets, self._columns)

    @classmethod
    def from_flat(
        cls,
        offsets: npt.ArrayLike,
        columns: Mapping[str, npt.ArrayLike],
        *,
        label: npt.ArrayLike | None = None,
        classes: Sequence[str] = CLASSES,
        info: Mapping[str, npt.ArrayLike] | None = None,
        meta: Mapping[str, Any] | None = None,
        domain: str = JETS.name,
        check: bool = True,
    ) -> Jets:
        """Build jets from flat constituent columns and offsets.

        Parameters
        ----------
        offsets : array_like of int, shape (n + 1,)
            Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
        columns : mapping of str to array_like, shape (m,)
            Constituent columns by field name.
        label, classes, info, meta, domain, check
            As for `Jets`.
        """
        flat = {name: np.asarray(v) for name, v in columns.items()}
        check_offsets(np.asarray(offsets), flat)
        particles = jagged(np.asarray(offsets), flat)
        return cls(particles, label=label, classes=classes, info=info, meta=meta, domain=domain, check=check)

    @classmethod
    def from_checked(
        cls,
        offsets: npt.NDArray[np.int64],
        columns: dict[str, npt.NDArray[Any]],
        *,
        label: npt.NDArray[np.int64] | None = None,
        classes: Sequence[str] = CLASSES,
        info: Mapping[str, npt.NDArray[Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        domain: str = JETS.name,
        p4: FloatArray | None = None,
    ) -> Jets:
        """Jets around arrays that came out of `Jets` before: in its types, checked and sorted. Nothing is copied.

        Parameters
        ----------
        offsets, columns, label, classes, info, meta, domain
            As for `from_flat`.
        p4 : ndarray, shape (n, 4), optional
            Four-momenta of the jets, if they are known.
        """
        jets = cls.__new__(cls)
        jets._offsets, jets._columns = frozen(np.asarray(offsets, dtype=np.int64)), columns
        jets._label, jets._info = label, dict(info or {})
        jets.classes, jets.meta, jets.domain = tuple(classes), dict(meta or {}), domain
        for values in columns.values():
            frozen(values)
        if p4 is not None:
            jets.__dict__["p4"] = frozen(p4)  # where cached_property looks
        return jets

    # ---- constituents -------------------------------------------------------------------------------------------

    @property
    def particles(self) -> ak.Array:
        """Constituents as `vector` Momentum4D records, shape ``(n, var)``."""
        import vector

        vector.register_awkward()
        return ak.with_name(jagged(self._offsets, self._columns), "Momentum4D")

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Start of each jet in the flat columns, shape ``(n + 1,)``."""
        return self._offsets

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the constituent fields present."""
        return tuple(self._columns)

    def flat(self, field: str) -> npt.NDArray[Any]:
        """One constituent field of all jets, shape ``(sum of multiplicities,)``, read-only.

        Also computes ``deta`` and ``dphi`` (relative to the jet axis, dphi wrapped) and ``energy`` [GeV].
        """
        if field in self._columns:
            return self._columns[field]
        if field == "deta":
            return self._columns["eta"] - np.repeat(self.eta, self.multiplicity).astype(np.float32)
        if field == "dphi":
            return wrap_phi(self._columns["phi"] - np.repeat(self.phi, self.multiplicity)).astype(np.float32)
        if field == "energy":
            return self.flat_p4[:, 0]
        msg = f"constituents have no field {field!r}; there are {', '.join(self.fields)}, deta, dphi, energy"
        raise KeyError(msg)

    @property
    def multiplicity(self) -> npt.NDArray[np.int64]:
        """Number of constituents of each jet, shape ``(n,)``."""
        return np.diff(self._offsets)

    @property
    def flat_p4(self) -> FloatArray:
        """Constituent four-momenta (E, px, py, pz) in GeV, shape ``(sum of multiplicities, 4)``, float64."""
        return np.stack(self._four_momenta(slice(None)), axis=1)

    def _four_momenta(self, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        pt, eta, phi, mass = (self._columns[f][rows].astype(np.float64) for f in PARTICLE_FIELDS)
        pz = pt * np.sinh(eta)
        return np.sqrt(pt**2 + pz**2 + mass**2), pt * np.cos(phi), pt * np.sin(phi), pz

    # ---- jets ---------------------------------------------------------------------------------------------------

    @cached_property
    def p4(self) -> FloatArray:
        """Jet four-momenta (E, px, py, pz) in GeV, the sum of the constituents, shape ``(n, 4)``, float64."""
        p4 = np.empty((len(self), 4))
        for start in range(0, len(self), _AT_ONCE):
            part = p4[start : start + _AT_ONCE]
            ends = self._offsets[start : start + len(part) + 1]
            jet = np.repeat(np.arange(len(part)), np.diff(ends))
            for k, values in enumerate(self._four_momenta(slice(int(ends[0]), int(ends[-1])))):
                part[:, k] = np.bincount(jet, weights=values, minlength=len(part))
        return p4

    @property
    def _known_p4(self) -> FloatArray | None:
        """`p4` if it has been computed."""
        return self.__dict__.get("p4")

    @property
    def pt(self) -> FloatArray:
        """Jet transverse momentum [GeV], shape ``(n,)``."""
        return np.hypot(self.p4[:, 1], self.p4[:, 2])

    @property
    def eta(self) -> FloatArray:
        """Jet pseudorapidity, shape ``(n,)``; 0 for a jet without constituents."""
        pt = self.pt
        return np.arcsinh(np.divide(self.p4[:, 3], pt, out=np.zeros_like(pt), where=pt > 0))

    @property
    def phi(self) -> FloatArray:
        """Jet azimuth [rad] in (-pi, pi], shape ``(n,)``."""
        return np.arctan2(self.p4[:, 2], self.p4[:, 1])

    @property
    def energy(self) -> FloatArray:
        """Jet energy [GeV], shape ``(n,)``."""
        return self.p4[:, 0]

    @property
    def mass(self) -> FloatArray:
        """Jet mass [GeV], shape ``(n,)``; 0 for a jet without constituents."""
        e, px, py, pz = self.p4.T
        return np.sqrt(np.maximum(e**2 - px**2 - py**2 - pz**2, 0.0))

    @property
    def label(self) -> npt.NDArray[np.int64] | None:
        """Index of each jet's class in `classes`, shape ``(n,)``, or None for unlabelled jets."""
        return self._label

    @property
    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Further columns with one value a jet."""
        return dict(self._info)

    # ---- selection ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Jets]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, where: Any) -> Jets:
        """Select jets with a slice, boolean mask, integer array, integer or class name."""
        if isinstance(where, str):
            return self.of_class(where)
        index = np.atleast_1d(np.arange(len(self))[where])
        offsets, rows = rows_of(self._offsets, index)
        return self._replaced(
            offsets,
            {name: values.take(rows, mode="clip") for name, values in self._columns.items()},  # faster than [rows]
            None if self._label is None else self._label[index],
            {name: values[index] for name, values in self._info.items()},
            None if self._known_p4 is None else self._known_p4[index],
        )

    def of_class(self, name: str) -> Jets:
        """Jets of one class.

        Raises
        ------
        KeyError
            If the jets have no labels or no such class.
        """
        if self._label is None or name not in self.classes:
            known = "these jets carry no labels" if self._label is None else f"classes are {', '.join(self.classes)}"
            msg = f"cannot select class {name!r}: {known}"
            raise KeyError(msg)
        return self[self._label == self.classes.index(name)]

    def leading(self, n: int) -> Jets:
        """The same jets with only their `n` hardest constituents; jet four-momenta change accordingly."""
        rank = np.arange(self._offsets[-1]) - np.repeat(self._offsets[:-1], self.multiplicity)
        keep = rank < n
        offsets = np.concatenate([[0], np.cumsum(np.minimum(self.multiplicity, n))])
        return self._replaced(offsets, {k: v[keep] for k, v in self._columns.items()}, self._label, self._info)

    def with_info(self, **columns: npt.ArrayLike) -> Jets:
        """The same jets with further per-jet columns, each of shape ``(n,)``."""
        info = self._info | {name: np.asarray(values) for name, values in columns.items()}
        jets = self._replaced(self._offsets, self._columns, self._label, info, self._known_p4)
        _check_per_jet(jets)
        return jets

    def with_meta(self, **entries: Any) -> Jets:
        """The same jets with further provenance entries."""
        jets = self._replaced(self._offsets, self._columns, self._label, self._info, self._known_p4)
        jets.meta = self.meta | entries
        return jets

    def _replaced(
        self,
        offsets: npt.NDArray[Any],
        columns: dict[str, npt.NDArray[Any]],
        label: npt.NDArray[np.int64] | None,
        info: dict[str, npt.NDArray[Any]],
        p4: FloatArray | None = None,
    ) -> Jets:
        return Jets.from_checked(
            offsets,
            columns,
            label=label,
            classes=self.classes,
            info=info,
            meta=self.meta,
            domain=self.domain,
            p4=p4,
        )

    # ---- display ------------------------------------------------------------------------------------------------

    def class_counts(self) -> dict[str, int]:
        """Number of jets of each class that occurs, in class order."""
        if self._label is None:
            return {}
        counts = np.bincount(self._label, minlength=len(self.classes))
        return {name: int(c) for name, c in zip(self.classes, counts, strict=True) if c}

    def __repr__(self) -> str:
        if not len(self):
            return "<Jets: none>"
        source = f", {self.meta['source']}" if "source" in self.meta else ""
        counts = [f"{name} {count:,}" for name, count in self.class_counts().items()] or ["no labels"]
        classes = ", ".join(counts[:10]) + (f" and {len(counts) - 10} more classes" if len(counts) > 10 else "")
        m, kind = self._offsets[-1], domain_named(self.domain)
        ranges = (
            f"pT {self.pt.min():.0f} to {self.pt.max():.0f} GeV, mass median {np.median(self.mass):.0f} GeV"
            if kind is JETS
            else f"energy {self.energy.min():.2g} to {self.energy.max():.2g} GeV"
        )
        return (
            f"<Jets: {len(self):,} {kind.unit}s, {m:,} {kind.part}s ({m / len(self):.1f} per {kind.unit.split()[-1]}), "
            f"{ranges}{source}>\n  {classes}"
        )


def concatenate(parts: Sequence[Jets]) -> Jets:
    """Join several sets of jets; they keep the fields and columns that all of them have.

    Parameters
    ----------
    parts : sequence of Jets
        At least one; all with the same classes.

    Raises
    ------
    InvalidJetsError
        If there are no parts, or their classes or domains differ.
    """
    parts = list(parts)
    if not parts:
        msg = "nothing to concatenate: expected at least one Jets"
        raise InvalidJetsError(msg)
    if len({p.classes for p in parts}) > 1:
        msg = f"cannot concatenate jets of different class lists: {sorted({p.classes for p in parts})}"
        raise InvalidJetsError(msg)
    if len({p.domain for p in parts}) > 1:
        msg = f"cannot concatenate different domains: {', '.join(sorted({p.domain for p in parts}))}"
        raise InvalidJetsError(msg)
    fields = [f for f in parts[0].fields if all(f in p.fields for p in parts)]
    columns = [c for c in parts[0].info if all(c in p.info for p in parts)]
    labelled = all(p.label is not None for p in parts)
    starts = np.cumsum([0] + [int(p.offsets[-1]) for p in parts])
    offsets = np.concatenate([[0]] + [p.offsets[1:] + s for p, s in zip(parts, starts, strict=False)])
    return parts[0]._replaced(
        offsets,
        {f: np.concatenate([p.flat(f) for p in parts]) for f in fields},
        np.concatenate([p._label for p in parts if p._label is not None]) if labelled else None,
        {c: np.concatenate([p.info[c] for p in parts]) for c in columns},
        np.concatenate([p.p4 for p in parts]) if all(p._known_p4 is not None for p in parts) else None,
    )


def _check_per_jet(jets: Jets) -> None:
    check_per_jet(len(jets), jets._info | ({} if jets._label is None else {"label": jets._label}))
    if jets._label is not None:
        check_label(jets._label, jets.classes)
