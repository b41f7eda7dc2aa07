"""Where jets come from and go to: named data sets, files of many layouts, and simulation (`jetlab.data.simulate`)."""

from __future__ import annotations

from jetlab.data.catalog import datasets
from jetlab.data.convert import convert
from jetlab.data.events import load_events
from jetlab.data.fetch import fetch
from jetlab.data.formats import Recognised, read_jets, recognise, write_jets
from jetlab.data.load import load_jets
from jetlab.data.pairs import load_pairs
from jetlab.data.select import SPLITS
from jetlab.data.stream import stream_jets

__all__ = [
    "SPLITS",
    "Recognised",
    "convert",
    "datasets",
    "fetch",
    "load_events",
    "load_jets",
    "load_pairs",
    "read_jets",
    "recognise",
    "stream_jets",
    "write_jets",
]
