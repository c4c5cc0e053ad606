"""Lists of unequal length in one array: spikes of all units in a row, trials that differ in length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cortseq.errors import CortseqError


def by_number(values: np.ndarray, numbers: np.ndarray, *, file: Path | None, key: str) -> list[np.ndarray]:
    """Cut an array into consecutive parts of given lengths.

    Parameters
    ----------
    values : (value,) all parts in a row.
    numbers : (part,) values per part; they must add up to the length of `values`.

    Returns
    -------
    list of (value of the part,) arrays.
    """
    numbers = _whole(numbers, file, key)
    if (numbers < 0).any() or numbers.sum() != len(values):
        raise CortseqError(
            f"the numbers per part add up to {numbers.sum()}, the array holds {len(values)}",
            file=file,
            key=key,
        )
    return np.split(values, np.cumsum(numbers)[:-1])


def by_index(values: np.ndarray, ends: np.ndarray, *, file: Path | None, key: str) -> list[np.ndarray]:
    """Cut an array where each part ends, as NWB's and HDF5's ragged columns are indexed.

    Parameters
    ----------
    values : (value,) all parts in a row.
    ends : (part,) index just after the last value of each part; the last one is the length of `values`.

    Returns
    -------
    list of (value of the part,) arrays.
    """
    ends = _whole(ends, file, key)
    if len(ends) == 0 or (np.diff(ends, prepend=0) < 0).any() or ends[-1] != len(values):
        last = ends[-1] if len(ends) else 0
        raise CortseqError(
            f"the ends must rise to the length of the array, {len(values)}, the last is {last}",
            file=file,
            key=key,
        )
    return np.split(values, ends[:-1])


def padded(
    arrays: Sequence[np.ndarray], axes: Sequence[str], *, file: Path | None, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Stack trials of unequal length into one array.

    Parameters
    ----------
    arrays : one array per trial; they differ in length along the axis `time` only.
    axes : `trial`, then the axes of each array.

    Returns
    -------
    (trial, ...) array, padded with 0, and (trial, time) bool, False where it is padded.
    """
    if axes[0] != "trial" or "time" not in axes[1:] or any(a.ndim != len(axes) - 1 for a in arrays):
        raise CortseqError(
            f"is one array of {arrays[0].ndim} axes per trial, axes are {list(axes)}",
            file=file,
            key="axes",
            fix="name trial first, then the axes of a trial, time among them",
        )
    along = list(axes).index("time") - 1
    shapes = {np.delete(a.shape, along).tobytes() for a in arrays if a.ndim > along}
    if len(shapes) != 1 or len({a.ndim for a in arrays}) != 1:
        raise CortseqError(
            f"the trials have shapes {sorted({a.shape for a in arrays})[:4]}, which differ in more than time",
            file=file,
            key=key,
        )
    length = max(a.shape[along] for a in arrays)
    shape = list(arrays[0].shape)
    shape[along] = length
    values = np.zeros((len(arrays), *shape), np.result_type(*arrays))
    for place, array in zip(values, arrays, strict=True):
        place[tuple(slice(n) for n in array.shape)] = array
    lengths = np.array([a.shape[along] for a in arrays])
    return values, np.arange(length)[None] < lengths[:, None]


def _whole(values: np.ndarray, file: Path | None, key: str) -> np.ndarray:
    values = np.asarray(values).ravel()
    with np.errstate(invalid="ignore"):
        if (
            values.dtype.kind not in "iuf"
            or (values != np.floor(values)).any()
            or (abs(values) > 2**53).any()
        ):
            raise CortseqError("must be whole numbers", file=file, key=key)
    return values.astype(np.int64)
