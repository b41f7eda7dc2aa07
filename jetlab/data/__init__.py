"""Where jets come from and go to: named data sets, files of many layouts, and simulation (`jetlab.data.simulate`)."""

from __future__ import annotations

from jetlab.data.catalog import datasets
from jetlab.data.formats import Recognised, read_jets, recognise, write_jets
from jetlab.data.load import SPLITS, load_jets

__all__ = ["SPLITS", "Recognised", "datasets", "load_jets", "read_jets", "recognise", "write_jets"]
