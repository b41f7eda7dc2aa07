"""The words of the field that every floor shares: jet classes, particle types, their names and symbols.

Class names, file prefixes and their order follow JetClass (arXiv:2202.03772, Zenodo 6619768).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CLASSES",
    "INTERACTIONS",
    "JET_CLASSES",
    "PARTICLE_TYPES",
    "TOKEN_TYPES",
    "JetClass",
    "class_named",
]


@dataclass(frozen=True)
class JetClass:
    """One jet class: short name, label column, file prefix of its process and symbol for figures."""

    name: str
    process: str
    symbol: str

    @property
    def label_column(self) -> str:
        """Name of the JetClass label column, such as ``label_Hbb``."""
        return f"label_{self.name}"


JET_CLASSES = (
    JetClass("QCD", "ZJetsToNuNu", "q/g"),
    JetClass("Hbb", "HToBB", "H→bb̄"),
    JetClass("Hcc", "HToCC", "H→cc̄"),
    JetClass("Hgg", "HToGG", "H→gg"),
    JetClass("H4q", "HToWW4Q", "H→4q"),
    JetClass("Hqql", "HToWW2Q1L", "H→ℓνqq′"),
    JetClass("Zqq", "ZToQQ", "Z→qq̄"),
    JetClass("Wqq", "WToQQ", "W→qq′"),
    JetClass("Tbqq", "TTBar", "t→bqq′"),
    JetClass("Tbl", "TTBarLep", "t→bℓν"),
)

CLASSES = tuple(c.name for c in JET_CLASSES)

PARTICLE_TYPES = ("charged hadron", "neutral hadron", "photon", "electron", "muon")
"""Meaning of the integer particle type codes 0 to 4; -1 is a particle of unknown type."""

TOKEN_TYPES = (
    "muon",
    "photon",
    "blob",
    "pion prong",
    "shower prong",
    "muon-like prong",
    "summed blobs",
    "summed prongs",
)
"""Meaning of the particle type codes 0 to 7 of neutrino events (arXiv:2604.12364); -1 is unknown."""

INTERACTIONS = ("CC1pi+-", "CCNpi+-", "CC1pi0", "CCother", "NC")
"""Classes of neutrino events: charged current with one charged pion, several, one neutral pion, none of these; neutral
current (arXiv:2604.12364)."""

_BY_NAME = {key: c for c in JET_CLASSES for key in (c.name, c.process, c.label_column)}


def class_named(name: str) -> JetClass:
    """Return the jet class with this short name, process name or label column.

    Raises
    ------
    KeyError
        If no class has this name; the message lists the names.
    """
    if name not in _BY_NAME:
        msg = f"unknown jet class {name!r}; expected one of {', '.join(CLASSES)}"
        raise KeyError(msg)
    return _BY_NAME[name]
