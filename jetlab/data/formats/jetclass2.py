"""The layout of JetClass-II (arXiv:2405.12972): the constituent columns of JetClass and one label from 0 to 187."""

from __future__ import annotations

from jetlab.data.formats import columns
from jetlab.data.formats.table import Table
from jetlab.jets import Jets

__all__ = ["JETCLASS2_CLASSES", "matches", "read"]

_TAUS = ("tauhtaue", "tauhtaum", "tauhtauh")
_WITH_NEUTRINO = ("ev", "mv", "tauev", "taumv", "tauhv")
_FLAVOURS = ("b", "c", "s", "q", "g")


def _class_names() -> tuple[str, ...]:
    """The 188 names in the order of the labels; s, q, e, m, v are strange, light, electron, muon, neutrino."""
    two = ["bb", "cc", "ss", "qq", "bc", "cs", "bq", "cq", "sq", "gg", "ee", "mm", *_TAUS]
    four = []
    for k, first in enumerate(_FLAVOURS):
        pair = 2 * first
        partners = [2 * f for f in _FLAVOURS[k:]] + ["ee", "mm", *_TAUS, *_FLAVOURS, "e", "m"]
        four += [pair + partner for partner in partners]
    for leptons in ("ee", "mm", *_TAUS):
        four += [f + leptons for f in _FLAVOURS]
    four += ["qqqb", "qqqc", "qqqs", "bbcq", "ccbs", "ccbq", "ccsq", "sscq", "qqbc", "qqbs", "qqcs", "bcsq"]
    four += ["bcs", "bcq", "bsq", "csq"]
    four += [quarks + lepton for lepton in _WITH_NEUTRINO for quarks in ("bc", "cs", "bq", "cq", "sq", "qq")]
    content = [b + c + s for b in ("bb", "b", "") for c in ("cc", "c", "") for s in ("ss", "s", "")]
    qcd = [flavours or "light" for flavours in content]
    return (*(f"X_{name}" for name in two), *(f"X_YY_{name}" for name in four), *(f"QCD_{name}" for name in qcd))


JETCLASS2_CLASSES = _class_names()
"""Names of the 188 classes of JetClass-II, in label order."""


def matches(table: Table) -> bool:
    """Whether these are the columns of JetClass-II."""
    wanted = ("part_px", "part_py", "part_pz", "part_energy", "jet_label")
    return all(name in table.shapes for name in wanted) and "classes" not in table.meta


def read(table: Table) -> Jets:
    """Read jets in the JetClass-II layout. Generated particles and the matched generated jet are left aside."""
    return columns.read(table, classes=JETCLASS2_CLASSES)
