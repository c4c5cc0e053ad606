"""The counts above zero of some trials as a sparse matrix: what a compiled kernel reads of sparse inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortseq.data import Data


@dataclass
class Events:
    """Non-zero entries of (trial, time, unit) as a sparse (CSR) matrix with row trial * n_time + t."""

    indptr: np.ndarray
    unit: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, data: Data, dtype: np.typing.DTypeLike) -> Events:
        """Return counts, or one event of value 1 for every symbol; missing bins have none."""
        if data.kind.has_labels:
            unit = data.y[data.valid].astype(np.int32)
            value, per_row = np.ones(len(unit), dtype), data.valid.ravel()
        else:
            parts = [_events(block) for _, block in data.blocks()]
            unit, value, per_row = (np.concatenate(part) for part in zip(*parts, strict=True))
        indptr = np.concatenate([[0], np.cumsum(per_row)])
        return cls(indptr.astype(np.int64), unit, value.astype(dtype))

    def beside(self, values: np.ndarray, first: int) -> Events:
        """Return these entries, and the non-zero ones of values (row, input) as units from `first` on."""
        row, column = np.nonzero(values)
        rows = np.concatenate([np.repeat(np.arange(len(values)), np.diff(self.indptr)), row])
        order = np.argsort(rows, kind="stable")
        added = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(values)))])
        unit = np.concatenate([self.unit, (first + column).astype(self.unit.dtype)])[order]
        value = np.concatenate([self.value, values[row, column].astype(self.value.dtype)])[order]
        return Events(self.indptr + added, unit, value)


def _events(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit and value of each count above 0 in valid bins, (event,), and how many a bin has, (bin,)."""
    counts = np.where(data.valid[..., None], data.y, 0)
    where = np.nonzero(counts)
    return where[2].astype(np.int32), counts[where], (counts != 0).sum(-1).ravel()
