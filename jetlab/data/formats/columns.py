"""Jets from named columns: the reader that most layouts share, and that takes any file with understandable names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.momenta import MOMENTA, momenta
from jetlab.data.formats.padded import occupied
from jetlab.data.formats.table import Jagged, Table
from jetlab.data.formats.units import check_sums
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import OPTIONAL_PARTICLE_FIELDS, Jets
from jetlab.jets.domains import JETS, Domain, domain_named
from jetlab.vocabulary import CLASSES

__all__ = [
    "PARTICLE_FLAGS",
    "count",
    "flat_constituents",
    "labels_of",
    "matches",
    "numbered_classes",
    "particle_columns",
    "read",
    "unnamed_labels",
]

PARTICLE_FLAGS = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
"""Columns that say what a constituent is, in the order of `jetlab.vocabulary.PARTICLE_TYPES`."""

_PREFIXES = ("part_", "particle_", "particles_", "constituent_", "constituents_", "const_", "pfcand_", "pf_")

_ALIASES = (
    {name: name for names in (*MOMENTA, ("mass", "energy", "mask", *OPTIONAL_PARTICLE_FIELDS)) for name in names}
    | {flag.lower(): flag for flag in PARTICLE_FLAGS}
    | {"m": "mass", "e": "energy", "etarel": "deta", "phirel": "dphi", "eta_rel": "deta", "phi_rel": "dphi"}
    | {"pt_rel": "ptrel", "q": "charge", "d0val": "d0", "dzval": "dz"}
)
"""Names of constituent columns, in lower case and without prefix, and what they mean."""

_OF_JETS = {"jet_pt": "pt", "jet_eta": "eta", "jet_phi": "phi"} | dict.fromkeys(
    ("jet_energy", "jet_mass", "jet_nparticles", "npart", "offsets", "mask"), ""
)
"""Per-jet columns that constituents imply, so that they do not become columns in ``Jets.info``."""

_LABELS = ("jet_label", "label", "labels")


def particle_columns(table: Table) -> dict[str, str]:
    """Meaning of each constituent column, by meaning: ``{"pt": "part_pt", ...}``."""
    flat = "offsets" in table.shapes
    meanings = _ALIASES | {name: name for name in _domain(table).fields}
    found: dict[str, str] = {}
    for name, shape in table.shapes.items():
        bare = next((name[len(p) :] for p in _PREFIXES if name.lower().startswith(p)), name).lower()
        if bare in meanings and len(shape) == (1 if flat else 2) and not (flat and name == "offsets"):
            found.setdefault(meanings[bare], name)
    return found


def matches(table: Table) -> bool:
    """Whether the columns fix the momenta of constituents."""
    found = particle_columns(table)
    return any(all(name in found for name in names) for names in MOMENTA)


def count(table: Table) -> int:
    """Number of jets."""
    if "offsets" in table.shapes:
        return int(table.shapes["offsets"][0] or 1) - 1
    return int(table.shapes[next(iter(particle_columns(table).values()))][0] or 0)


def read(table: Table, *, classes: Sequence[str] | None = None, optional: Iterable[str] | None = None) -> Jets:
    """Read jets from named columns.

    Parameters
    ----------
    table : Table
        Constituent columns are jagged, padded to ``(n, P)``, or flat beside ``offsets``.
    classes : sequence of str, optional
        Names of the classes that a column of whole-number labels counts; by default those in the file's own metadata.
    optional : iterable of str
        Which optional constituent fields to keep; by default all that the domain has.

    Returns
    -------
    Jets
        Remaining numeric columns with one value a jet are in ``info``; ``meta["notes"]`` says what was converted.

    Raises
    ------
    InvalidJetsError, UnitsError, FileError
        If columns contradict each other, or hold no jets in GeV.
    """
    domain = _domain(table)
    optional = (*OPTIONAL_PARTICLE_FIELDS, *domain.fields) if optional is None else tuple(optional)
    names = particle_columns(table)
    n = count(table)
    of_jets = [name for name, shape in table.shapes.items() if len(shape) == 1 and shape[0] == n]
    held = table.fetch(list(dict.fromkeys([*names.values(), *of_jets, *(["offsets"] * ("offsets" in table.shapes))])))
    offsets, flat = flat_constituents({meaning: held[name] for meaning, name in names.items() if name in held}, held)
    axis = {_OF_JETS[name]: np.asarray(held[name]) for name in held if _OF_JETS.get(name)}
    columns, notes = momenta(flat, axis, offsets)
    label, label_classes = labels_of(table, held, classes)
    extra = {name: flat[name] for name in optional if name in flat}
    if "ptype" in optional and "ptype" not in flat and any(flag in flat for flag in PARTICLE_FLAGS):
        extra["ptype"] = _particle_types(flat)
    lost = [name for name in table.meta.get("fields", ()) if name in optional and name not in extra]
    if lost:
        msg = f"the columns of {', '.join(lost)} are gone, though the file says that constituents have them"
        raise FileError(msg)
    info = {name: _native(values) for name, values in held.items() if _is_info(name, values, n, names)}
    jets = Jets.from_flat(
        offsets,
        columns | extra,
        label=label,
        classes=label_classes,
        info=info,
        meta=dict(table.meta.get("meta", {})) | ({"notes": notes} if notes else {}),
        domain=domain.name,
    )
    if "pt" in axis:
        check_sums(jets.pt, axis["pt"])
    return jets


# ---- constituents ----------------------------------------------------------------------------------------------------


def _domain(table: Table) -> Domain:
    """The domain that JetLab wrote beside the columns."""
    return domain_named(str(table.meta.get("meta", {}).get("domain", JETS.name)))


def flat_constituents(
    columns: Mapping[str, Any], held: Mapping[str, Any]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Offsets and flat columns of constituents that come jagged, padded, or flat beside offsets.

    Parameters
    ----------
    columns : mapping of str to array or Jagged
        Constituent columns by meaning; where padded, ``mask`` or the momenta tell which slots are real.
    held : mapping
        Has the ``offsets``, if constituents are flat.

    Raises
    ------
    InvalidJetsError
        If the columns differ in the numbers of constituents.
    """
    if "offsets" in held:
        return np.asarray(held["offsets"]), {name: np.asarray(values) for name, values in columns.items()}
    first = next(iter(columns))
    if isinstance(columns[first], Jagged):
        return columns[first].offsets, {name: _same_offsets(columns, name, first) for name in columns}
    shapes = {name: np.shape(values) for name, values in columns.items() if not isinstance(values, Jagged)}
    if len(set(shapes.values())) > 1 or len(shapes) < len(columns):
        msg = f"padded constituent columns differ in shape: {shapes}"
        raise InvalidJetsError(msg)
    mask = _mask(columns)
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    return offsets, {name: np.asarray(values)[mask] for name, values in columns.items() if name != "mask"}


def _same_offsets(columns: Mapping[str, Any], name: str, first: str) -> npt.NDArray[Any]:
    column = columns[name]
    if not isinstance(column, Jagged) or not np.array_equal(column.offsets, columns[first].offsets):
        msg = f"constituent columns {first} and {name} differ in the numbers of constituents"
        raise InvalidJetsError(msg)
    return column.values


def _mask(columns: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Which slots of padded columns hold a constituent: the mask column, else those with momentum."""
    if "mask" in columns:
        return occupied(np.asarray(columns["mask"]), "mask", above=0.5)
    size = [name for name in ("pt", "ptrel", "px", "py") if name in columns]
    return np.any([np.asarray(columns[name]) != 0 for name in size], axis=0)


def _particle_types(flat: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int8]:
    """Particle type codes from one flag a type; -1 where no flag is set.

    Raises
    ------
    InvalidJetsError
        If several flags of a constituent are set.
    """
    flags = {f: np.asarray(flat[f]) != 0 for f in PARTICLE_FLAGS if f in flat}
    total = np.zeros(len(flat["px"]), dtype=np.int8)
    codes = np.full(len(total), -1, dtype=np.int8)
    for code, name in enumerate(PARTICLE_FLAGS):
        if name in flags:
            total += flags[name]
            codes[flags[name]] = code
    if (total > 1).any():
        row = int(np.flatnonzero(total > 1)[0])
        names = [name for name, is_set in flags.items() if is_set[row]]
        msg = f"constituent {row} of all has several types at once: {', '.join(names)}"
        raise InvalidJetsError(msg)
    return codes


# ---- jets ------------------------------------------------------------------------------------------------------------


def _is_info(name: str, values: Any, n: int, particles: Mapping[str, str]) -> bool:
    implied = name in _OF_JETS or name in particles.values() or name in _LABELS or name.startswith("label_")
    return not implied and not isinstance(values, Jagged) and np.shape(values) == (n,)


def _native(values: Any) -> npt.NDArray[Any]:
    """The same numbers in the byte order of this machine."""
    array = np.asarray(values)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def labels_of(
    table: Table, held: Mapping[str, Any], classes: Sequence[str] | None = None
) -> tuple[npt.NDArray[Any] | None, tuple[str, ...]]:
    """Labels and class names from one column a class, or from a column of whole numbers; None without either."""
    one_hot = [name for name in held if name.startswith("label_") and table.flat(name)]
    if one_hot:
        found = tuple(name.removeprefix("label_") for name in one_hot)
        names = CLASSES if set(found) <= set(CLASSES) else found
        return _from_one_hot({name: np.asarray(held[f"label_{name}"]) for name in found}, names), names
    known = tuple(classes or table.meta.get("classes", ()))
    column = next((name for name in _LABELS if name in held and table.flat(name)), None)
    if column is None:
        return None, known or CLASSES
    label = np.asarray(held[column])
    return label, known or numbered_classes(label)


def numbered_classes(label: npt.NDArray[Any]) -> tuple[str, ...]:
    """Names for labels without names: ``class 0`` to the largest of them."""
    if not label.size or not np.isfinite(label).all():
        return ()
    return tuple(f"class {k}" for k in range(int(min(max(label.max(), 0), 999)) + 1))


def unnamed_labels(table: Table) -> npt.NDArray[Any] | None:
    """The whole column of labels, where nothing in the file names them."""
    if "classes" in table.meta or any(name.startswith("label_") and table.flat(name) for name in table.shapes):
        return None
    column = next((name for name in (*_LABELS, "pid") if table.flat(name)), None)
    return None if column is None else np.asarray(table.fetch([column])[column])


def _from_one_hot(columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Index of the one class whose column is set; None if no jet has a class.

    Raises
    ------
    InvalidJetsError
        If a jet has several classes, or some have none.
    """
    values = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    if not values.any():
        return None
    good = np.isin(values, (0.0, 1.0)).all(axis=1) & (values.sum(axis=1) == 1)
    if not good.all():
        jet = int(np.flatnonzero(~good)[0])
        found = {name: v for name, v in zip(columns, values[jet].tolist(), strict=True) if v != 0}
        msg = (
            f"jet {jet} has label columns {found or 'that are all 0'}, expected a single 1 ({(~good).sum()} such jets)"
        )
        raise InvalidJetsError(msg)
    index = np.array([names.index(name) for name in columns])
    return index[values.argmax(axis=1)]
