"""Data sets that are known by name: what they hold, where they come from, what to cite and what to look out for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.data.checksums import OMNIFOLD_MD5
from jetlab.data.formats.jetclass2 import JETCLASS2_CLASSES
from jetlab.data.formats.quarkgluon import QUARK_GLUON
from jetlab.data.formats.toptagging import TOP_TAGGING
from jetlab.errors import FileError
from jetlab.jets import EVENT_CLASSES
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "DataSet", "dataset_named", "datasets"]


@dataclass(frozen=True)
class DataSet:
    """A data set known by name.

    Parameters
    ----------
    name : str
        What `jetlab.fetch` and, for bundled ones, `jetlab.load_jets` take.
    title : str
        One line of description.
    task : str
        What it is mostly used for.
    n_jets : int or None
        Number of jets, None where it is not known for sure.
    licence, citation : str
        Under which terms it may be used ("not stated" where its page does not say), and what to cite.
    classes : tuple of str
        Names of the jet classes, in label order; empty for unlabelled jets.
    record : str
        Page of the record.
    source : str
        Start of the address of each file; empty where the files must be downloaded by hand from `record`.
    files : mapping of str to str
        Known files with their checksums as ``algorithm:digest``, or "" where the record's page must tell.
    bundled : str
        Its file inside the package, relative to ``jetlab.data``; empty if it must be downloaded.
    notes : tuple of str
        What one must know to use it.
    """

    name: str
    title: str
    task: str
    n_jets: int | None
    licence: str
    citation: str
    classes: tuple[str, ...] = ()
    record: str = ""
    source: str = ""
    files: dict[str, str] = field(default_factory=dict)
    bundled: str = ""
    notes: tuple[str, ...] = ()

    def path(self) -> Path:
        """Path of the bundled file.

        Raises
        ------
        FileError
            If it is not there, or the data set is not bundled.
        """
        if not self.bundled:
            msg = (
                f"{self.name} does not come with JetLab; jetlab.fetch({self.name!r}) downloads its files, to be loaded"
            )
            raise FileError(msg)
        resource = resources.files("jetlab.data").joinpath(self.bundled)
        if not resource.is_file():
            msg = (
                f"the file of data set {self.name!r}, jetlab/data/{self.bundled}, is missing from this installation: "
                "install JetLab again, or make jets with jetlab.simulate and give their file"
            )
            raise FileError(msg)
        return Path(str(resource))


_ZENODO = "https://zenodo.org/records/"


_JETCLASS_FILES = {
    f"JetClass_Pythia_train_100M_part{k}.tar": f"md5:{digest}"
    for k, digest in enumerate(
        (
            "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
            "9722a359c5ef697bea0fbf79bf50f003",
            "1e9f66cd1f915f9d10e90ae1d7761720",
            "47348fc8985319fa4806da87500482fa",
            "6b0ce16bd93b442a8d51914466990279",
            "416e347512e716de51d392bee327b8e9",
            "e9b9c1557b1b39bf0a16e4ab631ae451",
            "5bfc6cb285ccb7680cefa9ac82ad1a2e",
            "540c1a0d66dfad78d2b363c5740ccf86",
            "668f40b3275167ff7104c48317c0ae2a",
        )
    )
} | {
    "JetClass_Pythia_val_5M.tar": "md5:7235ccb577ed85023ea3ab4d5e6160cf",
    "JetClass_Pythia_test_20M.tar": "md5:64e5156d26d101adeb43b8388207d767",
}

_QUARK_GLUON_FILES = {"QG_jets.npz": "sha256:3f27a02eab06e8b83ccc9d25638021e6e24c9361341730961f9d560dee12c257"} | {
    f"QG_jets_{k}.npz": "sha256:648e49cd59b5353e0064e7b1a3388d9c2f4a454d3ca67afaa8d0344c836ecb35" if k == 1 else ""
    for k in range(1, 20)
}

_LHCO_CITATION = "G. Kasieczka et al., arXiv:2101.08320"
_JETNET_CITATION = "R. Kansal et al., arXiv:2106.11535"

DATASETS = {
    d.name: d
    for d in (
        DataSet(
            "sample",
            "Ten JetClass classes simulated with Pythia 8 and a detector response, split into train, valid and test",
            "first steps",
            20_000,
            "BSD-3-Clause",
            "JetLab; classes and selection after JetClass, arXiv:2202.03772",
            classes=CLASSES,
            bundled="sample/jets.parquet",
        ),
        DataSet(
            "sample-coarse",
            "The same ten classes in a coarser detector, split into train, valid and test",
            "from one detector to another",
            4_000,
            "BSD-3-Clause",
            "JetLab; classes and selection after JetClass, arXiv:2202.03772",
            classes=CLASSES,
            bundled="sample/coarse.parquet",
            notes=("made by: jetlab simulate --settings jetclass-full --n 4000 --seed 21 --layout compact",),
        ),
        DataSet(
            "jetclass",
            "JetClass: ten classes of large-radius jets, 100 million for training, 5 for validation, 20 for tests",
            "pretraining, tagging",
            125_000_000,
            "not stated",
            "H. Qu, C. Li, S. Qian, arXiv:2202.03772",
            classes=CLASSES,
            record=f"{_ZENODO}6619768",
            source=f"{_ZENODO}6619768/files/",
            files=_JETCLASS_FILES,
            notes=(
                "part_deta carries the sign of the jet's eta; directions are read from the momenta",
                "the label columns have three different types; they are cast",
            ),
        ),
        DataSet(
            "jetclass2",
            "JetClass-II: 188 classes of large-radius jets with pile-up",
            "pretraining, tagging",
            201_000_000,
            "MIT",
            "C. Li et al., arXiv:2405.12972",
            classes=JETCLASS2_CLASSES,
            record="https://huggingface.co/datasets/jet-universe/jetclass2",
            notes=("part_deta carries the sign of the jet's eta although the description says it does not",),
        ),
        DataSet(
            "top-tagging",
            "Top Tagging Reference: top against light quark and gluon jets of 550 to 650 GeV",
            "tagging",
            2_000_000,
            "CC-BY-4.0",
            "G. Kasieczka et al., arXiv:1902.09914",
            classes=TOP_TAGGING,
            record=f"{_ZENODO}2603256",
            source=f"{_ZENODO}2603256/files/",
            files={"train.h5": "", "val.h5": "", "test.h5": ""},
            notes=("the columns truthE, truthPX, ... are the generated top quark, not the jet",),
        ),
        DataSet(
            "quark-gluon",
            "Quark and gluon jets of 500 to 550 GeV from Pythia, without a detector",
            "tagging",
            2_000_000,
            "not stated",
            "P. Komiske, E. Metodiev, J. Thaler, arXiv:1810.05165",
            classes=QUARK_GLUON,
            record=f"{_ZENODO}3164691",
            source=f"{_ZENODO}3164691/files/",
            files=_QUARK_GLUON_FILES,
            notes=(
                "the second column is rapidity, not pseudorapidity",
                "constituents are not always sorted",
                "lists of the files with c and b quarks in other packages name file 3 twice",
            ),
        ),
        DataSet(
            "quark-gluon-herwig",
            "The same as quark-gluon from Herwig",
            "tagging",
            2_000_000,
            "not stated",
            "P. Komiske, E. Metodiev, J. Thaler, arXiv:1810.05165",
            classes=QUARK_GLUON,
            record=f"{_ZENODO}3066475",
            source=f"{_ZENODO}3066475/files/",
            files={f"QG_jets_herwig_{k}.npz": "" for k in range(20)},
            notes=("the second column is rapidity, not pseudorapidity",),
        ),
        DataSet(
            "jetnet30",
            "JetNet: gluon, light quark, top, W and Z jets of about 1 TeV, 30 constituents",
            "generation",
            880_000,
            "not stated",
            _JETNET_CITATION,
            classes=("g", "q", "t", "w", "z"),
            record=f"{_ZENODO}6975118",
            source=f"{_ZENODO}6975118/files/",
            files={f"{name}.hdf5": "" for name in "gqtwz"},
            notes=("a file holds one class, which only its name tells", "momenta are relative to the jet"),
        ),
        DataSet(
            "jetnet150",
            "JetNet with up to 150 constituents",
            "generation",
            None,
            "not stated",
            _JETNET_CITATION,
            classes=("g", "q", "t", "w", "z"),
            record=f"{_ZENODO}6975117",
            source=f"{_ZENODO}6975117/files/",
            files={f"{name}150.hdf5": "" for name in "gqtwz"},
            notes=("a file holds one class, which only its name tells", "momenta are relative to the jet"),
        ),
        DataSet(
            "lhco",
            "LHC Olympics 2020 R&D: dijet events, a million of background and 100,000 of signal",
            "anomaly search",
            None,
            "not stated",
            _LHCO_CITATION,
            classes=EVENT_CLASSES,
            record=f"{_ZENODO}4536377",
            source=f"{_ZENODO}4536377/files/",
            files={"events_anomalydetection_v2.h5": ""},
            notes=(
                "rows are events of up to 700 massless particles: jetlab.load_events clusters them into jets",
                "the files of features in the same record hold no particles",
                "where OmniLearn prepares these events, its column pid is the dijet mass, not the class",
            ),
        ),
        DataSet(
            "lhco-blackboxes",
            "LHC Olympics 2020: three black boxes and a background sample of a million events each",
            "anomaly search",
            None,
            "not stated",
            _LHCO_CITATION,
            classes=(*EVENT_CLASSES, "signal 2"),
            record=f"{_ZENODO}4536624",
            source=f"{_ZENODO}4536624/files/",
            files={
                f"events_LHCO2020_{name}": ""
                for name in (
                    *(f"BlackBox{k}.h5" for k in (1, 2, 3)),
                    *(f"BlackBox{k}.masterkey" for k in (1, 3)),
                    "backgroundMC_Pythia.h5",
                )
            },
            notes=(
                "the labels are in the master keys: jetlab.load_events(file, key=...)",
                "black box 2 holds no signal and has no key; black box 3 holds two kinds of signal",
                "the background sample is of another simulation than the black boxes",
            ),
        ),
        DataSet(
            "aspen",
            "Aspen Open Jets: jets of CMS data of 2016 with particle-flow candidates",
            "pretraining",
            None,
            "not stated",
            "O. Amram et al., arXiv:2412.10504",
            record="https://www.fdr.uni-hamburg.de/record/16505",
            notes=("candidates are not scaled by their PUPPI weights",),
        ),
        DataSet(
            "atlas-top",
            "ATLAS top tagging with systematic variations",
            "tagging",
            None,
            "not stated",
            "ATLAS Collaboration, doi:10.7483/OPENDATA.ATLAS.SOAY.LABE",
            classes=("QCD", "top"),
            record="https://opendata.cern.ch/record/80030",
            notes=("in MeV, read as GeV", "train with the weights"),
        ),
        DataSet(
            "cms2011",
            "Jets of CMS data of 2011 above 375 GeV in the MOD format",
            "measurement",
            None,
            "not stated",
            "P. Komiske et al., arXiv:1908.08542",
            record=f"{_ZENODO}3340205",
            source=f"{_ZENODO}3340205/files/",
            files={f"CMS_Jet300_pT375-infGeV_{k}_compressed.h5": "" for k in range(18)},
            notes=("directions are rapidities, not pseudorapidities",),
        ),
        DataSet(
            "omnifold",
            "Z + jet at particle and at detector level, in pairs, from Pythia and Herwig",
            "unfolding",
            None,
            "not stated",
            "A. Andreassen et al., arXiv:1911.09107",
            record=f"{_ZENODO}3548091",
            source=f"{_ZENODO}3548091/files/",
            files={
                f"{name}_Zjet_pTZ-200GeV_{k}.npz": f"md5:{digest}"
                for name, digests in OMNIFOLD_MD5.items()
                for k, digest in enumerate(digests)
            },
            notes=(
                "particle momenta are divided by 100 GeV; directions are relative to the jet, in rapidity",
                "particle types are coded as tenths, which single precision does not hold exactly: read by the nearest",
                "published code tests on pairs that it trains on; jetlab.load_pairs(..., split=...) never does",
                "detector-level jet_pt includes an energy correction that the constituents do not have",
            ),
        ),
    )
}
"""The known data sets by name."""


def dataset_named(name: str) -> DataSet:
    """Return the data set of this name.

    Raises
    ------
    FileError
        If there is none; the message lists the names.
    """
    if name not in DATASETS:
        msg = f"unknown data set {name!r}; there are {', '.join(DATASETS)}"
        raise FileError(msg)
    return DATASETS[name]


def datasets() -> pd.DataFrame:
    """The known data sets as a table.

    Returns
    -------
    DataFrame
        By name: task, jets, classes, size_gb, files, title, record, licence, citation, notes (what one must know to use
        it). Jets and sizes are missing where no record states them.
    """
    import pandas as pd

    rows = {
        d.name: (
            d.task, d.n_jets, len(d.classes), _size_gb(d), len(d.files), d.title, d.record, d.licence, d.citation,
            "; ".join(d.notes),
        )
        for d in DATASETS.values()
    }  # fmt: skip
    columns = ["task", "jets", "classes", "size_gb", "files", "title", "record", "licence", "citation", "notes"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("name")
    return table.astype({"jets": "Int64", "size_gb": "Float64"})


def _size_gb(dataset: DataSet) -> float | None:
    """Size of the files where it is known."""
    with suppress(FileError):
        return round(dataset.path().stat().st_size / 1e9, 4)
    return None
