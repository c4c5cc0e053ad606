"""Raw Datasets of label sequences (see `cortseq.sources.base`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.raw import describe


def symbol_dataset(
    sequences: Sequence[Sequence[str | None]],
    *,
    file: Path | None = None,
    alphabet: Sequence[str] | None = None,
    dirt: dict[str, Any] | None = None,
) -> xr.Dataset:
    """Sequences of labels as padded integers: labels sorted (or in the order of `alphabet`) are 0, 1, ...

    A label None is missing: `valid` leaves it out, and its neighbours do not become neighbours.

    Raises CortseqError where no sequence holds a symbol or a label lies outside the alphabet.
    """
    kept = [[label if label is None else str(label) for label in s] for s in sequences if _any(s)]
    if not kept:
        raise CortseqError("holds no symbols", file=file, fix="check the file and its format")
    found = {label for sequence in kept for label in sequence if label is not None}
    labels = sorted_labels(found) if alphabet is None else list(alphabet)
    if outside := sorted_labels(found - set(labels)):
        raise CortseqError(
            f"a label lies outside the alphabet {labels}",
            file=file,
            key="alphabet",
            value=outside[0],
            fix="add it to the alphabet or correct the file",
        )
    if len(labels) > np.iinfo(np.int16).max:
        raise CortseqError(
            f"{len(labels)} different labels are too many",
            file=file,
            key="labels",
            fix="choose another column",
        )
    index = {label: i for i, label in enumerate(labels)}
    valid = np.arange(max(map(len, kept)))[None] < np.array([[len(s)] for s in kept])
    symbols = np.zeros(valid.shape, np.int16)
    symbols[valid] = [0 if label is None else index[label] for sequence in kept for label in sequence]
    known = np.array([label is not None for sequence in kept for label in sequence])
    valid[valid] = known
    raw = xr.Dataset({"symbols": (("trial", "time"), symbols), "valid": (("trial", "time"), valid)})
    found_dirt = {"empty_sequences": len(sequences) - len(kept), "labels_missing": int((~known).sum())}
    dirt = found_dirt | (dirt or {})
    return describe(raw, "samples", dirt, bin_width=1.0, n_symbols=len(labels), labels=labels)


def _any(sequence: Sequence[str | None]) -> bool:
    return any(label is not None for label in sequence)


def sequences_dataset(sequences: Sequence[np.ndarray], *, file: Path | None, key: str) -> xr.Dataset:
    """Return raw symbols of arrays of labels, (label,) each: text, or whole numbers of any type."""
    texts = []
    for labels in sequences:
        values = np.asarray(labels)
        with np.errstate(invalid="ignore"):
            wrong = values.dtype.kind == "f" and (values != np.floor(values)).any()
        if values.dtype.kind not in "iufbU" or wrong:
            raise CortseqError(
                f"labels are text or whole numbers, not {values.dtype}",
                file=file,
                key=key,
                fix="check the key",
            )
        texts.append((values.astype(np.int64) if values.dtype.kind == "f" else values).astype(str).tolist())
    return symbol_dataset(texts, file=file)


def sorted_labels(labels: Collection[str]) -> list[str]:
    """Return labels in order: as numbers where all are whole numbers, else as text."""
    numbers = all(label.lstrip("-").isdigit() for label in labels)
    return sorted(labels, key=int if numbers else None)
