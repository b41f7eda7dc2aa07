"""Files of jets: how they are stored is found from their first bytes, what they mean from their columns.

A *container* (Parquet, ROOT, HDF5, NumPy) gives a `Table` of named columns; a *layout* (JetClass, JetNet, ...) turns
the columns into `Jets`. Both are found from the content, never from the file's name. Pickled objects are never loaded.
"""

from __future__ import annotations

from jetlab.data.formats.reading import (
    LAYOUTS,
    Choice,
    JetFile,
    Layout,
    Recognised,
    jets_of,
    open_jets,
    read_jets,
    recognise,
    signature_of,
)
from jetlab.data.formats.writing import write_jets

__all__ = [
    "LAYOUTS",
    "Choice",
    "JetFile",
    "Layout",
    "Recognised",
    "jets_of",
    "open_jets",
    "read_jets",
    "recognise",
    "signature_of",
    "write_jets",
]
