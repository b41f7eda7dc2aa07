"""The layouts of files of jets: by which columns each is known, and what turns them into `Jets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jetlab.data.clustering import JetFinder
from jetlab.data.formats import (
    aspen,
    atlas,
    columns,
    compact,
    delphes,
    flat,
    h1,
    jetclass,
    jetclass2,
    jetnet,
    lhco,
    minerva,
    mod,
    nanoaod,
    neutrino,
    omnifold,
    omnilearn,
    quarkgluon,
    raw,
    toptagging,
)
from jetlab.data.formats.raw import RawJets
from jetlab.data.formats.table import Table
from jetlab.jets import Events, Jets, Pairs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["LAYOUTS", "Layout"]


@dataclass(frozen=True)
class Layout:
    """What the columns of a file mean.

    Parameters
    ----------
    name : str
        Short name.
    description : str
        What one would look for in such a file, for messages.
    matches : callable
        Whether a `Table` has this layout.
    count : callable
        Number of jets of a table.
    read : callable
        Turns a table into `Jets`.
    notes : tuple of str
        What reading converts, always.
    in_parts : bool
        Whether some of the rows can be read alone.
    choices : tuple of str
        What of `jetlab.data.formats.table.Choice` it honours.
    starts : callable, optional
        Where rows are events with several jets: the number of jets before each event, and that of all.
    settled : callable, optional
        Gives a table in which the choice is made, where it takes a look at the whole file.
    unit : str
        What a row is: a jet, or an event or a pair of jets.
    events : callable, optional
        Turns some rows into `Events`; see `jetlab.data.formats.lhco.read_events`.
    pairs : callable, optional
        Turns a table into `Pairs`.
    raw : callable, optional
        Turns a table into `RawJets`, or None; see `jetlab.data.formats.raw`.
    trusted : bool
        Whether the numbers were checked when they were written, and checksums tell that they are the same.
    """

    name: str
    description: str
    matches: Callable[[Table], bool]
    count: Callable[[Table], int]
    read: Callable[[Table], Jets]
    notes: tuple[str, ...] = ()
    in_parts: bool = True
    choices: tuple[str, ...] = ()
    starts: Callable[[Table], npt.NDArray[np.int64]] | None = None
    settled: Callable[[Table], Table] | None = None
    unit: str = "jet"
    events: Callable[[Table, npt.NDArray[np.int64], JetFinder, Sequence[int] | None], Events] | None = None
    pairs: Callable[[Table], Pairs] | None = None
    raw: Callable[[Table], RawJets | None] | None = None
    trusted: bool = False


LAYOUTS = (
    Layout(
        "flat",
        "JetLab's flat arrays, from jetlab.data.convert",
        flat.matches,
        flat.count,
        flat.read,
        trusted=True,
    ),
    Layout(
        "compact",
        "JetLab's compact columns",
        compact.matches,
        columns.count,
        compact.read,
    ),
    Layout(
        "JetClass",
        "part_px, part_py, part_pz, part_energy and label_QCD, label_Hbb, ... (JetClass)",
        jetclass.matches,
        columns.count,
        jetclass.read,
        ("directions are taken from the momenta, since part_deta carries the sign of the jet's eta",),
        raw=raw.read_jetclass,
    ),
    Layout(
        "JetClass-II",
        "part_px, part_py, part_pz, part_energy and jet_label from 0 to 187 (JetClass-II)",
        jetclass2.matches,
        columns.count,
        jetclass2.read,
        ("directions are taken from the momenta, since part_deta carries the sign of the jet's eta",),
    ),
    Layout(
        "JetNet",
        "particle_features (n, 30 or 150, 4) and jet_features (n, 4) (JetNet)",
        jetnet.matches,
        jetnet.count,
        jetnet.read,
        ("pT relative to the jet is multiplied by the jet pT",),
    ),
    Layout(
        "top tagging",
        "E_0, PX_0, PY_0, PZ_0, ... and is_signal_new, as columns or in pandas blocks (Top Tagging Reference)",
        toptagging.matches,
        toptagging.count,
        toptagging.read,
        ("the columns truthE, ... are the generated top quark, not the jet",),
    ),
    Layout(
        "quark/gluon",
        "X (n, P, 4) and y (n,) (EnergyFlow quark/gluon)",
        quarkgluon.matches,
        quarkgluon.count,
        quarkgluon.read,
        ("rapidities became pseudorapidities, with masses by PDG code",),
    ),
    Layout(
        "ATLAS top tagging",
        "fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E in MeV (ATLAS top tagging)",
        atlas.matches,
        atlas.count,
        atlas.read,
        ("MeV became GeV",),
    ),
    Layout(
        "Aspen",
        "PFCands (n, 150, 11) and jet_kinematics (n, 4) (Aspen Open Jets)",
        aspen.matches,
        aspen.count,
        aspen.read,
        ("candidates are scaled by their PUPPI weights only if asked for (puppi=True)",),
        choices=("puppi",),
    ),
    Layout(
        "NanoAOD",
        "FatJet_pt, FatJetPFCand_jetIdx, FatJetPFCand_pfCandIdx and PFCand_pt, ... (CMS NanoAOD, PFNano)",
        nanoaod.matches,
        nanoaod.count,
        nanoaod.read,
        (
            "impact parameters in cm became mm",
            "candidates are scaled by PUPPI weights only if asked for (puppi=True), by jet energy corrections never",
        ),
        choices=("collection", "puppi"),
        starts=nanoaod.starts,
    ),
    Layout(
        "Delphes",
        "a jet branch with Constituents, and ParticleFlowCandidate or EFlowTrack, EFlowPhoton, EFlowNeutralHadron "
        "(Delphes)",
        delphes.matches,
        delphes.count,
        delphes.read,
        ("masses follow from the PDG codes; candidates of calorimeter towers are massless",),
        choices=("collection",),
        starts=delphes.starts,
        settled=delphes.settled,
    ),
    Layout(
        "H1",
        "jet_pt, ... and jet_part_pt, jet_part_eta, jet_part_phi, jet_part_e, jet_part_charge, jet_part_idx in "
        "Django/minitree or Rapgap/minitree (H1)",
        h1.matches,
        h1.count,
        h1.read,
        ("all jets of an event are read; the quantities of the event are in info",),
        in_parts=False,
    ),
    Layout(
        "neutrino",
        "token_pt, token_eta, token_phi, token_energy and token_class, in GeV or named ..._mev (neutrino events)",
        neutrino.matches,
        neutrino.count,
        neutrino.read,
    ),
    Layout(
        "MINERvA",
        "data (m, 10) beside offsets, global_features (n, 16) and truth_labels (n, 15) (MINERvA events)",
        minerva.matches,
        minerva.count,
        minerva.read,
        ("logarithms were undone, MeV became GeV, positions became mm and times ns", "dE/dx has lost its sign"),
    ),
    Layout(
        "MOD",
        "pfcs (m, 6), pfcs_index and jets_f (CMS 2011A in the MOD format)",
        mod.matches,
        mod.count,
        mod.read,
        ("rapidities became pseudorapidities",),
        in_parts=False,
    ),
    Layout(
        "LHC Olympics",
        "a pandas table of 2100 or 2101 numbers a row: pT, eta, phi of 700 particles, and the label (LHC Olympics)",
        lhco.matches,
        lhco.count,
        lhco.read,
        ("rows are events of massless particles, clustered into jets",),
        unit="event",
        events=lhco.read_events,
    ),
    Layout(
        "LHC Olympics jets",
        "data (n, 2, P, 7) and jet (n, 2, 5) (LHC Olympics as OmniLearn prepares them)",
        lhco.matches_clustered,
        lhco.count_clustered,
        lhco.read_clustered,
        ("rows are events of two jets",),
        unit="event",
        events=lhco.read_clustered_events,
    ),
    Layout(
        "OmniFold",
        "gen_jets, gen_particles, sim_jets, sim_particles (OmniFold Z + jet)",
        omnifold.matches,
        omnifold.count,
        omnifold.read,
        (
            "pT were multiplied by 100 GeV and directions moved to the jet",
            "rapidities became pseudorapidities, with masses by PDG code",
            "jet_pt at detector level includes an energy correction that the constituents do not have",
        ),
        unit="pair",
        pairs=omnifold.read_pairs,
    ),
    Layout(
        "OmniLearn",
        "data (n, P, 7 or 13) and jet (n, 4) (OmniLearn)",
        omnilearn.matches_omnilearn,
        omnilearn.count,
        omnilearn.read_omnilearn,
    ),
    Layout(
        "OmniLearned",
        "data (n, P, 4 or more) and pid (n,) (OmniLearned)",
        omnilearn.matches_omnilearned,
        omnilearn.count,
        omnilearn.read_omnilearned,
    ),
    Layout(
        "columns",
        "constituent columns px, py, pz or pt, eta, phi (with or without part_ in front), jagged, padded to (n, P), "
        "or flat beside offsets; in GeV",
        columns.matches,
        columns.count,
        columns.read,
    ),
)
"""The layouts that can be read; the first one that matches is taken."""
