"""Rectangles that hold lists of unequal length: what is padding, and what is a number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cortseq.errors import CortseqError


def is_matrix(values: np.ndarray) -> bool:
    """Whether an array of spike times has the shape (row, column), with more than one of each."""
    return values.ndim == 2 and min(values.shape) > 1 and values.dtype.kind in "iuf"


def trains(values: np.ndarray, file: Path | None, key: str) -> tuple[dict[str, np.ndarray], int]:
    """Return spike times by unit from a matrix whose rows (or columns) are padded with NaN or with zeros.

    Rows are units where the times rise along each row up to the padding; else columns are, where they rise.

    Parameters
    ----------
    values : (unit, spike) or (spike, unit) times.

    Returns
    -------
    name -> (spike,) times, and how many entries are padding.

    Raises
    ------
    CortseqError : times rise along neither.
    """
    for rows in (values, values.T):
        kept = [_without_padding(np.asarray(row, float)) for row in rows]
        if all((np.diff(row) >= 0).all() for row in kept):
            n = values.size - sum(map(len, kept))
            return {str(i): row for i, row in enumerate(kept)}, n
    raise CortseqError(
        f"is a matrix of shape {values.shape} whose times rise neither along rows nor along columns",
        file=file,
        key=key,
        fix="store one list of times with spike_units, or one array per unit",
    )


def _without_padding(row: np.ndarray) -> np.ndarray:
    row = row[~np.isnan(row)]
    last = np.flatnonzero(row)
    end = last[-1] + 1 if len(last) else 0
    return row[:end] if len(row) - end > 0 and (end == 0 or row[end - 1] > 0) else row


def missing_bins(values: np.ndarray, axes: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return counts with 0 where a bin is NaN in all units, and which bins are not, over the other axes.

    None where nothing is missing, or where some units only are NaN: that is no padding.

    Parameters
    ----------
    values : counts, one axis for each of `axes`, such as (trial, time, unit).
    axes : names, among them `unit` or not.
    """
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return values, None
    missing = np.isnan(values)
    if "unit" in axes:
        axis = list(axes).index("unit")
        whole = missing.all(axis)
        if (np.expand_dims(whole, axis) != missing).any():
            return values, None
        return np.where(missing, 0, values), ~whole
    return np.where(missing, 0, values), ~missing


def compressed(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return trial numbers as 0, 1, ... in their order, and how many between lowest and highest are unused.

    Parameters
    ----------
    numbers : (spike,) integers.
    """
    found, index = np.unique(numbers, return_inverse=True)
    return index, int(found[-1]) - int(found[0]) + 1 - len(found)
