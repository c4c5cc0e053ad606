"""A time series of a file that may be larger than memory: its clock, and its rows read in pieces.

A series is what pynwb gives, or an object with the same attributes: `data` (sample,) or (sample, column) with
slices of rows, and `timestamps` (sample,) in s or None, then `starting_time` in s and `rate` in samples/s.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError
from cortseq.memory import affordable
from cortseq.sources import observed, windows
from cortseq.sources.raw import finite, step

PIECE = 1 << 25  # bytes of samples that are read at once
_CHUNKS = 1 << 27  # bytes; as many chunks of the file as fit are read at once
_TIMES = 1 << 20  # times that are read at once
_WHOLE = 1 << 22  # times of a clock that is held in memory and looked at to the last one
BYTES = 24  # per value of the array that is made: it is copied while it is cut into trials


def rows(data: Any, first: int, last: int | None) -> np.ndarray:
    """Return rows `first` to `last` (None: to the end) of an array of a file, (row, channel) or (row,).

    Raises
    ------
    CortseqError : the rows are damaged.
    """
    try:
        return np.asarray(data[first:last])
    except (OSError, RuntimeError, ValueError) as error:  # of h5py
        reason = " ".join(str(error).split())[:160]
        raise CortseqError(f"samples {first} and following cannot be read ({reason})") from error


class Clock:
    """When the samples of a series were taken; stored times are read once, or in pieces where they are many.

    Parameters
    ----------
    series : the series.
    file, key : for errors.

    Attributes
    ----------
    n : number of samples.

    Raises
    ------
    CortseqError : as many times as samples are not there.
    """

    def __init__(self, series: Any, file: Path | None, key: str) -> None:
        self._series, self._file, self._key = series, file, key
        self.n = len(series.data)
        if series.timestamps is not None and len(series.timestamps) != self.n:
            raise self._unfit()

    def times(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Return times of the samples `first` to `last` (not included; None: to the end), (sample,) s."""
        if self._series.timestamps is not None:
            time = rows(self._stored, first, last)
        else:
            numbers = np.arange(first, self.n if last is None else min(last, self.n))
            time = np.asarray((self._series.starting_time or 0.0) + numbers / self._series.rate)
        time = finite(time, file=self._file, key=f"{self._key}.timestamps")
        if (np.diff(time) < 0).any():
            raise self._unfit()
        return time

    @cached_property
    def _stored(self) -> Any:
        """Stored times, (sample,) s: a short clock is held in memory, a long one stays in its file."""
        stored = self._series.timestamps
        return rows(stored, 0, None) if self.n <= _WHOLE else stored

    @cached_property
    def width(self) -> float:
        """Width of a sample, s; of a long clock from its beginning, middle and end."""
        if self._series.rate:
            return self._of_rate(float(self._series.rate))
        if self.n <= _WHOLE:
            return step(self.times(), self._file)
        some = _WHOLE // 4
        return step(
            np.concatenate([self.times(k, k + some) for k in (0, self.n // 2, self.n - some)]), self._file
        )

    def _of_rate(self, rate: float) -> float:
        if not 0 < rate < np.inf:
            raise CortseqError(
                "is no number of samples per second", file=self._file, key=f"{self._key}.rate", value=rate
            )
        return 1 / rate

    def first_from(self, time: float) -> int:
        """Return the first sample at or after a time in s; n where there is none."""
        if self._series.timestamps is not None:
            return bisect.bisect_left(self._stored, time)
        return int(np.clip(np.ceil((time - self.times(0, 1)[0]) * self._series.rate - 1e-6), 0, self.n))

    def gaps(self) -> np.ndarray:
        """Return the samples that follow a gap, (gap,) index."""
        if self._series.timestamps is None:
            return np.empty(0, np.int64)
        found = [
            first + windows.gaps(self.times(first, first + _TIMES + 1), self.width)
            for first in range(0, self.n, _TIMES)
        ]
        return np.concatenate(found)

    def _unfit(self) -> CortseqError:
        return CortseqError(
            "times and samples do not fit together", file=self._file, key="signal", value=self._key
        )


@dataclass(frozen=True)
class Cut:
    """Which samples of a series are read, and how they become bins.

    Attributes
    ----------
    first : (trial,) first sample of each trial.
    bins : (trial,) bins of each trial.
    factor : samples per bin; a bin is the mean of its samples that are no NaN.
    """

    first: np.ndarray
    bins: np.ndarray
    factor: int


def binned(data: Any, cut: Cut, file: Path | None, key: str) -> np.ndarray:
    """Return bins of a series; only the samples of the trials are read, in pieces.

    Parameters
    ----------
    data : (sample,) or (sample, channel), rows by slices.
    cut : which samples.
    file, key : for errors.

    Returns
    -------
    (trial, bin, channel) float64; 0 beyond the last bin of a trial.

    Raises
    ------
    CortseqError : more than a job may hold, an infinite value, or no numbers.
    """
    n_channels = int(np.prod(data.shape[1:]))
    shape = len(cut.first), int(cut.bins.max()), n_channels
    affordable(
        float(BYTES) * shape[0] * shape[1] * shape[2],
        f"{shape[0]} trials x {shape[1]} bins x {shape[2]} channels",
        file=file,
        key="memory",
        fix="widen bin_ms, or use fewer trials (max_trials, part)",
    )
    if data.dtype.kind not in "iufb" or not n_channels:
        raise CortseqError("a signal must be finite numbers (NaN: missing)", file=file, key=key)
    values = np.zeros(shape)
    for trial, begin, piece in _pieces(data, cut, n_channels):
        if piece.dtype.kind == "f" and np.isinf(piece).any():
            raise CortseqError("a signal must be finite numbers (NaN: missing)", file=file, key=key)
        values[trial, begin : begin + len(piece) // cut.factor] = _means(piece, cut.factor)
    return values


def _means(piece: np.ndarray, factor: int) -> np.ndarray:
    """Return the mean (bin, channel) of each `factor` samples (sample, channel) that are no NaN."""
    if factor == 1:
        return piece
    samples = piece.reshape(-1, factor, piece.shape[1])
    means: np.ndarray = samples.mean(1, dtype=float)
    missing = np.isnan(means).any(1)
    if missing.any():
        known = ~np.isnan(samples[missing])
        number = known.sum(1)
        sums = np.where(known, samples[missing], 0.0).sum(1, dtype=float)
        means[missing] = np.where(number > 0, sums / np.maximum(number, 1), np.nan)
    return means


def _pieces(data: Any, cut: Cut, n_channels: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield trial, first bin and samples (sample, channel) of every part of a trial, in the file's order.

    Parts that lie close together are read at once.
    """
    per_row = data.dtype.itemsize * n_channels
    chunk = int((getattr(data, "chunks", None) or (1,))[0])
    most = max(PIECE // per_row, min(4 * chunk, _CHUNKS // per_row), cut.factor)
    parts = _parts(cut, max(most // cut.factor, 1))
    at = 0
    while at < len(parts):
        begin, stop = parts[at][0], parts[at][1]
        until = at + 1
        while until < len(parts) and parts[until][0] <= stop + chunk and parts[until][1] - begin <= most:
            stop = max(stop, parts[until][1])
            until += 1
        block = rows(data, begin, stop).reshape(stop - begin, n_channels)
        for first, last, trial, bin_of_trial in parts[at:until]:
            yield trial, bin_of_trial, block[first - begin : last - begin]
        at = until


def _parts(cut: Cut, most: int) -> list[tuple[int, int, int, int]]:
    """Return first and last sample, trial and bin of parts of trials of at most `most` bins, in order."""
    found = []
    for trial, (first, n) in enumerate(zip(cut.first.tolist(), cut.bins.tolist(), strict=True)):
        for begin in range(0, n, most):
            end = min(begin + most, n)
            found.append((first + begin * cut.factor, first + end * cut.factor, trial, begin))
    return sorted(found)


def column_around(
    series: Any, column: int, spans: np.ndarray | None, file: Path | None, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values of one column of a series, of a long one only around some spans of time.

    Parameters
    ----------
    series : the series.
    column : of its data, 0 where it has one.
    spans : (span, 2) in s; None: everything. A sample to each side of a span is read too.
    file, key : for errors.

    Returns
    -------
    (sample,) s and (sample,).
    """
    clock = Clock(series, file, key)
    ranges = np.array([[0, clock.n]])
    if spans is not None and clock.n > _TIMES:
        edges = [[clock.first_from(a) - 1, clock.first_from(b) + 1] for a, b in spans]
        ranges = observed.union(np.clip(edges, 0, clock.n))
    total = int((ranges[:, 1] - ranges[:, 0]).sum())
    affordable(32.0 * total, f"reading {total} samples", file=file, key=key, fix="name another series")
    times = [clock.times(a, b) for a, b in ranges]
    values = [_column(series.data, column, a, b) for a, b in ranges]
    return np.concatenate(times), np.concatenate(values)


def _column(data: Any, column: int, first: int, last: int) -> np.ndarray:
    """Return rows of one column, read in pieces."""
    if len(data.shape) == 1:
        return rows(data, first, last)
    most = max(PIECE // (data.dtype.itemsize * int(np.prod(data.shape[1:]))), 1)
    pieces = [rows(data, k, min(k + most, last))[:, column] for k in range(first, last, most)]
    return np.concatenate([*pieces, np.empty(0, data.dtype)])
