"""A time series of an NWB file as trials or windows; only their samples are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.memory import limit_mb
from cortseq.sources import windows
from cortseq.sources.base import Source
from cortseq.sources.guesses import nice_above, window_for
from cortseq.sources.raw import describe, with_dirt
from cortseq.sources.series import BYTES, Clock, Cut, binned

_SLACK = 1e-6  # samples
_SHARE = 0.25  # of a job's memory that a proposed recording takes
_FAST, _WIDE = 0.005, 0.01  # s; shorter samples are proposed in bins of 10 ms


def cut(
    series: Any, source: Source, trials: xr.Dataset | None, file: Path | None
) -> tuple[xr.Dataset, np.ndarray]:
    """Return a series cut into trials and averaged into bins while it is read.

    The first sample of a trial is the first one at or after the trial's start. A trial that reaches beyond
    the series, or across a gap of its clock, is left out and counted. Without trials, windows of `window_ms`
    follow each other from the first sample and from each gap on. `part` and `max_trials` are applied here.

    Parameters
    ----------
    series : see `cortseq.sources.series`.
    source : the entry.
    trials : Dataset with `interval_start`, `interval_stop`, `interval_align` (trial,) in s, and covariates;
        None: windows are cut.
    file : for errors.

    Returns
    -------
    Raw samples: `signal` (trial, time, channel), coordinates `start`, `stop` (trial) in s and `clock` (trial,
    time) in s, when the middle sample of each bin was taken. Then starts and stops, (trial, 2) s.
    """
    key = str(getattr(source, "signal", "signal"))
    clock = Clock(series, file, key)
    factor = windows.samples_per_bin(source, clock.width)
    raw = xr.Dataset() if trials is None else trials
    if trials is None:
        found, dirt = _windows(clock, source, factor)
    else:
        found, kept, dirt = _trials(clock, windows.trial_spans(trials, source), source, factor)
        raw = trials.isel(trial=kept)
    which = windows.chosen(len(found.first), source)
    found = Cut(found.first[which], found.bins[which], factor)
    raw = raw.isel(trial=which) if "trial" in raw.dims else raw
    values = binned(series.data, found, file, f"signal: {key}")
    start = np.array([clock.times(k, k + 1)[0] for k in found.first])
    stop = start + found.bins * factor * clock.width
    raw = raw.drop_vars([str(v) for v in raw.variables if str(v).startswith("interval_")])
    raw = raw.assign(signal=(("trial", "time", "channel"), values))
    raw = raw.assign_coords(
        trial=np.arange(len(start)),
        channel=np.arange(values.shape[2]),
        start=("trial", start),
        stop=("trial", stop),
        clock=(("trial", "time"), _middles(clock, found)),
    )
    inside = np.arange(values.shape[1]) < found.bins[:, None]
    raw = raw if inside.all() else raw.assign(valid=(("trial", "time"), inside))
    window = windows.window(source)
    raw = describe(
        raw,
        "samples",
        bin_width=factor * clock.width,
        continuous=int(trials is None),
        chosen=1,
        time_start=window[0] if window and trials is not None else 0.0,
    )
    return with_dirt(raw, dirt), np.stack([start, stop], 1)


def guess(series: Any, file: Path | None, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return bins and windows for a series, from its size and clock alone, and a remark for each.

    A series of more than 200 samples/s is proposed in bins of at least 10 ms, and one that does not fit a
    quarter of a job's memory in wider bins.

    Parameters
    ----------
    series : see `cortseq.sources.series`.
    file, name : of the series, for errors.
    """
    clock = Clock(series, file, name)
    entry: dict[str, Any] = {}
    notes: dict[str, str] = {}
    n_values = clock.n * int(np.prod(series.data.shape[1:]))
    least = BYTES * n_values / (limit_mb() * 1e6 * _SHARE)
    least = max(least, _WIDE / clock.width) if clock.width < _FAST else least
    if least > 1:
        entry["bin_ms"] = float(f"{nice_above(least) * clock.width * 1e3:.12g}")
        notes["bin_ms"] = f"GUESS: samples of {clock.width * 1e3:.6g} ms are averaged"
    width = entry.get("bin_ms", clock.width * 1e3) / 1e3
    entry["window_ms"], notes["window_ms"] = window_for(clock.n * clock.width, width)
    return entry, notes


def _windows(clock: Clock, source: Source, factor: int) -> tuple[Cut, dict[str, int]]:
    """Return windows of one length, none across a gap, and how many samples lie before `valid_from`."""
    per_window = windows.samples_per_window(source, clock.width, factor)
    after_gaps = clock.gaps()
    late = 0 if source.valid_from is None else clock.first_from(source.valid_from)
    edges = after_gaps[after_gaps > late] - late
    first = late + windows.starts(clock.n - late, edges, per_window, source)
    dirt = {"samples_before_valid_from": late}
    return Cut(first, np.full(len(first), per_window // factor), factor), dirt


def _trials(
    clock: Clock, where: np.ndarray, source: Source, factor: int
) -> tuple[Cut, np.ndarray, dict[str, int]]:
    """Return what is read of the trials, which of them are kept, (kept,), and how many are not, by reason."""
    first = np.array([clock.first_from(t) for t in where[:, 0] - _SLACK * clock.width], np.int64)
    bins = np.floor((where[:, 1] - where[:, 0]) / clock.width + _SLACK).astype(np.int64) // factor
    early = where[:, 0] < clock.times(0, 1)[0] - clock.width * (1 + _SLACK)
    outside = early | (first + bins * factor > clock.n)
    short = bins < 1
    broken = np.zeros(len(first), bool)
    for k in np.flatnonzero(~outside & ~short):  # with the start: the first sample may follow a gap too
        begin = max(first[k] - 1, 0)
        times = clock.times(begin, first[k] + bins[k] * factor)
        after = begin + windows.gaps(times, clock.width)
        in_gap = (after == first[k]) & (times[first[k] - begin] - where[k, 0] > clock.width * (1 + _SLACK))
        broken[k] = (in_gap | (after > first[k])).any()
    before = where[:, 0] < (-np.inf if source.valid_from is None else source.valid_from)
    dirt = {
        "trials_shorter_than_a_bin": int(short.sum()),
        "trials_outside_the_series": int((outside & ~short).sum()),
        "trials_across_a_gap": int(broken.sum()),
        "trials_before_valid_from": int(before.sum()),
    }
    kept = np.flatnonzero(~(short | outside | broken | before))
    if not len(kept):
        raise CortseqError(
            f"no trial is left, dropped { {k: n for k, n in dirt.items() if n} }",
            key="signal",
            fix="check the clock of the trials and of the series",
        )
    if source.guard:
        kept = kept[np.argsort(where[kept, 0], kind="stable")]
    return Cut(first[kept], bins[kept], factor), kept, dirt


def _middles(clock: Clock, found: Cut) -> np.ndarray:
    """Return the time of the middle sample of each bin, (trial, bin) s; NaN beyond the last bin."""
    times = np.full((len(found.first), int(found.bins.max())), np.nan)
    for row, first, n in zip(times, found.first, found.bins, strict=True):
        row[:n] = clock.times(first, first + n * found.factor)[found.factor // 2 :: found.factor]
    return times
