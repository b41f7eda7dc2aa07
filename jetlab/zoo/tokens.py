"""Files of tokenized jets: codes of different numbers a jet, and which tokenizer they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.data.formats.table import Column, Jagged, guarded
from jetlab.errors import FileError, InvalidJetsError

if TYPE_CHECKING:
    from jetlab.models.tokenizers import Tokenizer
    from jetlab.models.tokens import TokenSequences

__all__ = ["check_tokens_target", "read_tokens", "tokenizer_fingerprint", "write_tokens"]

CODES, LABEL = "codes", "label"
"""Columns of a file of tokenized jets: a list of whole numbers a jet, and its class."""

LAYOUT = "jetlab-tokens"
"""Name of the layout in the metadata of the file."""


def write_tokens(
    tokens: TokenSequences, path: str | Path, *, tokenizer: Tokenizer, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write tokenized jets into a Parquet file.

    Parameters
    ----------
    tokens : TokenSequences
    path : str or Path
        The file, ending in ``.parquet``; it appears complete or not at all.
    tokenizer : Tokenizer
        Made the tokens. Its fingerprint goes into the file, so that `read_tokens` can tell it from others.
    provenance : mapping, optional
        How the tokens came about, JSON-safe.

    Returns
    -------
    Path
        The file. Column ``codes`` holds the codes of each jet, 0 to codebook size - 1, without start, stop or padding;
        column ``label``, if the jets are labelled, the class. The metadata hold the rest.

    Raises
    ------
    FileError
        If the name does not end in ``.parquet``, there is nothing to write, or the file cannot be written.
    """
    from jetlab.data.formats.parquet import save_parquet

    path = check_tokens_target(path)
    if not len(tokens):
        msg = f"there are no tokenized jets to write to {path}"
        raise FileError(msg)
    meta = {
        "layout": LAYOUT,
        "codebook_size": tokens.codebook_size,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "recipe": tokenizer.recipe.to_dict(),
        "classes": list(tokens.classes),
        "jets": dict(tokens.meta),
        "provenance": dict(provenance or {}),
    }
    columns: dict[str, Column] = {CODES: Jagged(tokens.offsets, tokens.codes.astype(np.int32))}
    columns |= {} if tokens.label is None else {LABEL: tokens.label}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with guarded(str(path), "written"):
            save_parquet(unfinished, columns, meta)
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def check_tokens_target(path: str | Path) -> Path:
    """Make sure that tokens can be written there, before they are made.

    Raises
    ------
    FileError
        If the name does not end in ``.parquet``, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix != ".parquet" or not path.absolute().parent.is_dir():
        msg = f"tokens cannot be written to {path}: expected a name that ends in .parquet, in a folder that exists"
        raise FileError(msg)
    return path


def read_tokens(path: str | Path, *, tokenizer: Tokenizer | None = None) -> TokenSequences:
    """Read tokenized jets that `write_tokens` wrote.

    Parameters
    ----------
    path : str or Path
    tokenizer : Tokenizer, optional
        The one that shall decode them; tokens of another one are refused.

    Returns
    -------
    TokenSequences
        Its ``meta`` are those of the jets, with what the file says about the tokens under ``"tokens"``.

    Raises
    ------
    FileError
        If the file is absent, damaged, or no file of tokenized jets.
    InvalidJetsError
        If the codes belong to another tokenizer, or lie outside the codebook.
    """
    from jetlab.data.formats.parquet import open_parquet
    from jetlab.models.tokens import TokenSequences

    path = Path(path)
    if not path.is_file():
        msg = f"there is no file {path}; jetlab tokenize writes files of tokenized jets"
        raise FileError(msg)
    with guarded(str(path), "read"), open_parquet(path) as table:
        meta = table.meta
        if meta.get("layout") != LAYOUT or CODES not in table.shapes:
            found = ", ".join(table.shapes) or "none"
            msg = f"{path} holds no tokenized jets: expected a file from jetlab tokenize, found the columns {found}"
            raise FileError(msg)
        if tokenizer is not None:
            _check_same(meta, tokenizer)
        columns = table.load([name for name in (CODES, LABEL) if name in table.shapes], None)
        codes = columns[CODES]
        assert isinstance(codes, Jagged)
        return TokenSequences(
            codes.values.astype(np.int64),
            codes.offsets,
            meta["codebook_size"],
            np.asarray(columns[LABEL], dtype=np.int64) if LABEL in columns else None,
            tuple(meta["classes"]),
            {**meta["jets"], "tokens": {"tokenizer": meta["tokenizer"], **meta["provenance"]}},
        )


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """Short checksum of all that decides which codes a tokenizer gives: its recipe, its codebook and its weights."""
    facts = [type(tokenizer).__name__, _set(tokenizer.recipe.to_dict()), tokenizer.codebook_size]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, values in sorted(tokenizer.state_dict().items()):
        digest.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _set(entries: Any) -> Any:
    """Entries that are set, so that options which come later change no fingerprint."""
    if isinstance(entries, dict):
        return {key: _set(value) for key, value in entries.items() if value is not None}
    return [_set(value) for value in entries] if isinstance(entries, list | tuple) else entries


def _check_same(meta: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    if meta["codebook_size"] != tokenizer.codebook_size:
        msg = f"its codes belong to a codebook of {meta['codebook_size']}, this tokenizer has {tokenizer.codebook_size}"
        raise InvalidJetsError(msg)
    fingerprint = tokenizer_fingerprint(tokenizer)
    if meta["tokenizer"] != fingerprint:
        msg = (
            f"its codes were made by another tokenizer ({meta['tokenizer']}, this one is {fingerprint}) and would "
            "decode to something else. Tokenize the jets again"
        )
        raise InvalidJetsError(msg)
