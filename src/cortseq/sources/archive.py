"""A file of named arrays, as sources of arrays and tables of trials open it."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources.summaries import guess, summary

_EXACT = 2.0**53  # whole numbers beyond it are not told apart in floating point


class Archive:
    """A file of named arrays whose every fault is one line. A kind of file gives `keys` and `read`."""

    item: ClassVar[str] = "array"

    def __init__(self, file: Path | None) -> None:
        self.file = file

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        raise NotImplementedError

    def read(self, key: str) -> np.ndarray:
        """Return the array of a key that is there.

        Of any shape, as it is stored.
        """
        raise NotImplementedError

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times by unit where `key` holds one array per unit; None where it is one array.

        Times are (spike,) per unit.
        """
        return None

    n_trials: int | None = None  # of cells unit x trial, once they were read

    def cells(
        self, key: str | None, axes: Sequence[str], option: str
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]] | None:
        """Return spike times by unit and the trial of each spike where `key` holds a cell per unit and trial.

        None where it does not. Times and trials are (spike,) per unit; trials count from 0.
        """
        return None

    def parts(self, key: str) -> list[np.ndarray] | None:
        """Return one array per trial, of any shape, if `key` holds such cells; None if it is one array."""
        return None

    def every(self, pattern: str, option: str) -> list[np.ndarray]:
        """Return all arrays whose key fits `*/name`, (label,) each, in the order of their keys."""
        found = [key for key in self.keys if fnmatch.fnmatchcase(key, pattern)]
        if not found:
            raise self.missing(pattern, option)
        return [self.squeezed(key, option) for key in found]

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`.

        Of any shape, as it is stored.
        """
        if key not in self.keys:
            raise self.missing(key, option)
        assert key is not None
        return self.read(key)

    def missing(self, key: str | None, option: str) -> CortseqError:
        """Return the error that says that no array has this key."""
        return CortseqError(
            f"the file has no such {self.item}",
            file=self.file,
            key=option,
            value=key,
            fix=f"it holds {self.keys}",
        )

    def squeezed(self, key: str, option: str) -> np.ndarray:
        """Return a vector, also where it was stored as (n, 1)."""
        values = self.get(key, option)
        if values.ndim == 2 and 1 in values.shape:
            values = values.ravel()
        if values.ndim != 1:
            raise CortseqError(
                f"must be one value each, has shape {values.shape}", file=self.file, key=option, value=key
            )
        return values

    def spike_labels(self, key: str | None, option: str, times: np.ndarray) -> np.ndarray:
        """Return whole numbers, one per spike.

        Parameters
        ----------
        times : (spike,) whose number the labels must have.

        Returns
        -------
        (spike,) integers.
        """
        values = self.get(key, option).ravel()
        self.same_length(values, len(times), option, key)
        if values.dtype.kind not in "iuf" or (values != np.floor(values)).any():
            raise CortseqError("must be whole numbers, one per spike", file=self.file, key=option, value=key)
        if values.dtype.kind != "i" and values.size and float(abs(values).max()) > _EXACT:
            largest = float(abs(values).max())
            raise CortseqError("a number is too large to be one", file=self.file, key=option, value=largest)
        return values.astype(np.int64)

    def same_length(self, values: np.ndarray, length: int, option: str, key: str | None) -> None:
        """Raise a CortseqError unless `values` has so many rows.

        Parameters
        ----------
        values : (row, ...).
        length : rows there must be.
        """
        if len(values) != length:
            raise CortseqError(
                f"has {len(values)} values, {length} are needed", file=self.file, key=option, value=key
            )

    def readable(self) -> dict[str, np.ndarray]:
        """Return key -> array of everything that can be read, each in its stored shape."""
        arrays = {}
        for key in self.keys:
            with contextlib.suppress(CortseqError):
                arrays[key] = self.get(key, key)
        return arrays

    def summaries(self) -> list[str]:
        """Return lines of `inspect`: every array, then what the arrays look like."""
        lines, arrays = [], {}
        for key in self.keys:
            try:
                arrays[key] = self.get(key, key)
                lines.append(f"{key}: {summary(arrays[key])}")
            except CortseqError as error:
                lines.append(f"dirty: {error}")
        return lines + guess(arrays)
