"""Parquet files as tables, and tables into Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.table import Column, Jagged, Rows, Shape, Table, check_size
from jetlab.errors import InvalidJetsError

__all__ = ["SIGNATURE", "open_parquet", "save_parquet"]

SIGNATURE = b"PAR1"

_META_KEY = b"jetlab"
_ROWS_IN_A_GROUP = 50_000
_ROWS_IN_A_BATCH = 10_000
_WORTH_A_DICTIONARY = 2048


@contextmanager
def open_parquet(path: Path) -> Iterator[Table]:
    """Columns of a Parquet file: numbers, lists of numbers, and lists of records, one column for each field."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        tops = {f.name: _fields(f.name, f.type) for f in file.schema_arrow}
        top_of = {name: top for top, part in tops.items() for name, _ in part}
        n = file.metadata.num_rows

        def load(names: Sequence[str], rows: Rows | None) -> dict[str, Column]:
            wanted = list(dict.fromkeys(top_of[name] for name in names))
            read = _read(file, wanted, path.stat().st_size, rows or (0, n))
            return {name: _column(read.column(top_of[name]).combine_chunks(), name) for name in names}

        meta = json.loads((file.schema_arrow.metadata or {}).get(_META_KEY, b"{}"))
        shapes: dict[str, Shape] = {name: (n, *shape) for part in tops.values() for name, shape in part}
        other = [top for top, part in tops.items() if not part]
        together = file.metadata.row_group(0).num_rows if file.metadata.num_row_groups else 1
        yield Table(str(path), "Parquet", shapes, load, meta, other, together=max(1, together))


def save_parquet(path: Path, columns: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
    """Write columns with zstd; floats are split into byte streams first, which takes a third less space.

    Parameters
    ----------
    path : Path
        Where to.
    columns : mapping of str to array or Jagged
        The columns, all with as many rows.
    meta : mapping
        JSON-safe; goes into the file's metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: _arrow(column) for name, column in columns.items()})
    leaves = {name: f"{name}.list.element" if isinstance(c, Jagged) else name for name, c in columns.items()}
    repeating = {name for name, c in columns.items() if _repeats(c.values if isinstance(c, Jagged) else c)}
    pq.write_table(
        table.replace_schema_metadata({_META_KEY: json.dumps(meta).encode()}),
        path,
        compression="zstd",
        compression_level=9,
        use_dictionary=[leaves[name] for name in columns if name in repeating],
        use_byte_stream_split=[leaves[name] for name in columns if name not in repeating],
        row_group_size=_ROWS_IN_A_GROUP,
        write_page_checksum=True,
    )


def _repeats(values: npt.NDArray[Any]) -> bool:
    """Whether values are whole numbers or so few different ones that a dictionary of them pays."""
    return values.dtype.kind != "f" or len(np.unique(values)) < _WORTH_A_DICTIONARY


def _read(file: Any, columns: Sequence[str], stored: int, rows: Rows) -> Any:
    """Read a range of rows a batch at a time, so that one can stop when they grow too large.

    The footer of the file also tells the sizes, but asking for them ends the process where the footer is damaged.
    """
    import pyarrow as pa

    groups, skipped = _row_groups(file, rows)
    first, last = rows[0] - skipped, rows[1] - skipped
    batches, unpacked, done = [], 0, 0
    for batch in file.iter_batches(batch_size=_ROWS_IN_A_BATCH, row_groups=groups, columns=list(columns)):
        wanted = batch.slice(max(0, first - done), max(0, min(last - done, len(batch)) - max(0, first - done)))
        done += len(batch)
        if len(wanted):
            batches.append(wanted)
            unpacked += wanted.nbytes
            check_size(unpacked, stored)
        if done >= last:
            break
    return pa.Table.from_batches(batches, pa.schema([file.schema_arrow.field(name) for name in columns]))


def _row_groups(file: Any, rows: Rows) -> tuple[list[int], int]:
    """The row groups that hold these rows, and the number of rows before them."""
    ends = np.cumsum([file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)])
    first, last = np.searchsorted(ends, rows[0], side="right"), np.searchsorted(ends, rows[1], side="left")
    groups = range(int(first), min(int(last) + 1, len(ends)))
    return list(groups), int(ends[first - 1]) if first else 0


def _fields(name: str, kind: Any) -> list[tuple[str, Shape]]:
    """Numeric columns inside a Parquet column, with the shape after the row axis."""
    import pyarrow as pa

    if _is_number(kind):
        return [(name, ())]
    if not _is_list(kind):
        return []
    length = kind.list_size if pa.types.is_fixed_size_list(kind) else None
    inner = kind.value_type
    if _is_number(inner):
        return [(name, (length,))]
    if pa.types.is_struct(inner):
        return [(inner.field(k).name, (length,)) for k in range(inner.num_fields) if _is_number(inner.field(k).type)]
    return []


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _column(array: Any, name: str) -> Column:
    import pyarrow as pa

    missing = array.null_count
    if not _is_list(array.type):
        values, offsets = array, None
    else:
        values = array.flatten()
        fixed = pa.types.is_fixed_size_list(array.type)
        offsets = np.arange(len(array) + 1) * array.type.list_size if fixed else np.asarray(array.offsets)
    if pa.types.is_struct(values.type):
        missing += values.null_count
        values = values.field(name)
    if missing + values.null_count:
        msg = f"column {name} has {missing + values.null_count} missing values"
        raise InvalidJetsError(msg)
    flat = values.to_numpy(zero_copy_only=False)
    if offsets is None:
        return flat
    if pa.types.is_fixed_size_list(array.type):
        return flat.reshape(len(array), array.type.list_size)
    return Jagged(offsets.astype(np.int64) - offsets[0], flat)


def _arrow(column: Column) -> Any:
    import pyarrow as pa

    if not isinstance(column, Jagged):
        return pa.array(column)
    small = column.offsets[-1] < 2**31
    kind, offsets = (pa.ListArray, np.int32) if small else (pa.LargeListArray, np.int64)
    return kind.from_arrays(pa.array(column.offsets.astype(offsets)), pa.array(column.values))
