"""ROOT files as tables, and tables into ROOT files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from jetlab.data.formats.baskets import is_plain, read_plain, rows_in_a_basket
from jetlab.data.formats.references import SIZES, holds_references, read_references
from jetlab.data.formats.table import Column, Jagged, Rows, Shape, Table, check_size, jagged_of
from jetlab.errors import FileError

__all__ = ["SIGNATURE", "open_root", "save_root"]

SIGNATURE = b"root"

_META_KEY = "jetlab_meta"
_NUMBERS = ("boo", "int", "uin", "flo")
_ROWS_IN_A_BASKET = 25_000


@contextmanager
def open_root(path: Path) -> Iterator[Table]:
    """Columns of the TTree or RNTuple named ``tree``, else of the one with most branches.

    A branch of reference arrays gives two columns, see `jetlab.data.formats.references`.
    """
    import uproot

    with path.open("rb") as stored, uproot.open(path, custom_classes=_own_classes()) as file:
        kinds = file.classnames(cycle=False)
        meta = json.loads(str(file[_META_KEY])) if kinds.get(_META_KEY) == "TObjString" else {}
        trees = [name for name, kind in kinds.items() if kind in ("TTree", "ROOT::RNTuple")]
        if not trees:
            msg = f"it holds no tree; found {', '.join(kinds) or 'nothing'}"
            raise FileError(msg)
        chosen = "tree" if "tree" in trees else max(trees, key=lambda name: len(file[name].keys()))
        opened = {name: partial(_tree_table, path, stored, file, name, meta) for name in trees}
        yield replace(opened[chosen](), trees=opened)


def _tree_table(path: Path, stored: IO[bytes], file: Any, name: str, meta: Mapping[str, Any]) -> Table:
    """Columns of one tree of an open file, whose bytes are `stored`."""
    tree = file[name]
    shapes, other = _shapes(tree)

    def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
        first, last = rows or (0, tree.num_entries)
        share = (last - first) / max(1, tree.num_entries)
        branches = dict.fromkeys(column.removesuffix(SIZES) for column in names)
        check_size(int(share * sum(_unpacked_size(tree, branch) for branch in branches)), path.stat().st_size)
        linked = {branch for branch in branches if holds_references(tree[branch])}
        held: dict[str, Column] = {}
        for branch in linked:
            held[f"{branch}{SIZES}"], held[branch] = read_references(tree[branch], (first, last))
        for column in names:
            if column not in held and is_plain(tree[column]):
                held[column] = read_plain(stored, tree[column], first, last)
        others = [column for column in names if column not in held]
        arrays = tree.arrays(others, library="ak", entry_start=first, entry_stop=last) if others else {}
        for column in others:
            values = arrays[column]
            held[column] = jagged_of(values, column) if None in shapes[column] else np.asarray(values)
        return {column: held[column] for column in names}

    largest = max(tree.branches, key=lambda branch: branch.uncompressed_bytes) if hasattr(tree, "branches") else None
    together = rows_in_a_basket(largest) if largest is not None and is_plain(largest) else 1
    return Table(str(path), f"ROOT, tree {name!r}", shapes, load, meta, other, tree=name, together=together)


def save_root(path: Path, columns: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
    """Write columns as a TTree named ``tree``; jagged columns must be named ``part_...``.

    Parameters
    ----------
    path : Path
        Where to.
    columns : mapping of str to array or Jagged
        The columns, all with as many rows.
    meta : mapping
        JSON-safe; goes into a string named ``jetlab_meta``.
    """
    import uproot

    jagged = {name.removeprefix("part_"): c for name, c in columns.items() if isinstance(c, Jagged)}
    scalars = {name: c for name, c in columns.items() if not isinstance(c, Jagged)}
    record = ", ".join(f"{name}: {c.values.dtype.name}" for name, c in jagged.items())
    types = {"part": f"var * {{{record}}}"} | {name: c.dtype.name for name, c in scalars.items()}
    offsets = next(iter(jagged.values())).offsets
    with uproot.recreate(path) as file:
        file.mktree("tree", types)
        for start in range(0, len(offsets) - 1, _ROWS_IN_A_BASKET):
            stop = min(start + _ROWS_IN_A_BASKET, len(offsets) - 1)
            rows = {name: c[start:stop] for name, c in scalars.items()}
            file["tree"].extend({"part": _records(jagged, offsets[start : stop + 1])} | rows)
        file[_META_KEY] = json.dumps(meta)


def _own_classes() -> dict[str, Any]:
    """Copies of uproot's classes for one file.

    Uproot adds the classes that a file describes to those that it knows. A damaged file would so spoil the reading of
    every later file in this process.
    """
    import uproot

    return {
        name: type(cls.__name__, (cls,), {"known_versions": dict(cls.known_versions)})
        if issubclass(cls, uproot.model.DispatchByVersion)
        else cls
        for name, cls in uproot.classes.items()
    }


def _records(jagged: Mapping[str, Jagged], offsets: Any) -> Any:
    import awkward as ak

    contents = [ak.contents.NumpyArray(c.values[offsets[0] : offsets[-1]]) for c in jagged.values()]
    record = ak.contents.RecordArray(contents, list(jagged))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets - offsets[0]), record))


def _shapes(tree: Any) -> tuple[dict[str, Shape], list[str]]:
    """Shapes of the numeric branches, and the names of the others."""
    shapes: dict[str, Shape] = {}
    for name in tree.keys():  # noqa: SIM118 a tree is not a mapping
        branch = tree[name]
        if holds_references(branch):
            shapes |= {name: (tree.num_entries, None), f"{name}{SIZES}": (tree.num_entries, None)}
            continue
        shape = _shape(branch)
        if shape is not None:
            shapes[name] = (tree.num_entries, *shape)
    return shapes, [name for name in tree.keys() if name not in shapes]  # noqa: SIM118


def _shape(branch: Any) -> Shape | None:
    """Shape of a branch after the row axis; None where it holds no plain numbers."""
    import uproot

    interpretation = getattr(branch, "interpretation", None)
    if interpretation is None:
        *axes, kind = str(branch.array(entry_stop=0).type.content).split(" * ")
        return {(): (), ("var",): (None,)}.get(tuple(axes)) if kind[:3] in _NUMBERS else None
    shape: Shape = ()
    if isinstance(interpretation, uproot.AsJagged):
        interpretation, shape = interpretation.content, (None,)
    if not isinstance(interpretation, uproot.AsDtype) or interpretation.to_dtype.fields:
        return None
    return (*shape, *interpretation.inner_shape)


def _unpacked_size(tree: Any, name: str) -> int:
    stored = getattr(tree[name], "uncompressed_bytes", 0)
    return int(stored if isinstance(stored, (int, np.integer)) else 0)
