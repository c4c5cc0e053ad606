"""Which trials and windows of a recording an entry asks for."""

from __future__ import annotations

import itertools

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.base import Source

DEFAULT_BIN = 0.02  # s, for spikes
DEFAULT_WINDOW = 5.0  # s, windows cut from continuous recordings
GAP = 2.5  # a step between samples longer than this many sample widths is a gap ...
MIN_GAP = 0.1  # ... if it also lasts this long (s)


def window(source: Source) -> tuple[float, float] | None:
    """Return [start, stop] of a trial in s, or None."""
    window = source.window_ms
    return (window[0] / 1e3, window[1] / 1e3) if isinstance(window, tuple) else None


def length(source: Source) -> float:
    """Return length of the windows cut from a continuous recording, s."""
    if isinstance(source.window_ms, tuple):
        raise CortseqError(
            "[start, stop] is for recordings with trials, this one is continuous",
            key="window_ms",
            value=list(source.window_ms),
            fix="give the length of the windows to cut, one number",
        )
    return source.window_ms / 1e3 if isinstance(source.window_ms, float | int) else DEFAULT_WINDOW


def bin_too_wide(bin_width: float, length: float) -> CortseqError:
    """Return the error of a bin that no trial holds; both in s."""
    return CortseqError(
        f"the bin is wider than the trial of {length * 1e3:g} ms",
        key="bin_ms",
        value=bin_width * 1e3,
        fix="choose a smaller bin_ms",
    )


def samples_per_bin(source: Source, native: float) -> int:
    """Return samples of `native` s per bin."""
    if source.bin_ms is None:
        return 1
    factor = round(source.bin_ms / 1e3 / native)
    if factor < 1 or abs(factor * native * 1e3 - source.bin_ms) > 1e-6 * source.bin_ms:
        raise CortseqError(
            f"is not a multiple of the native bin of {native * 1e3:g} ms", key="bin_ms", value=source.bin_ms
        )
    return factor


def samples_per_window(source: Source, native: float, factor: int) -> int:
    """Return samples per window of a continuous recording, a multiple of the `factor` samples of a bin."""
    per_window = max(round(length(source) / native) // factor * factor, 0)
    if per_window < factor or per_window == 0:
        raise bin_too_wide(factor * native, length(source))
    return per_window


def gaps(time: np.ndarray, native: float) -> np.ndarray:
    """Return the samples that follow a gap, as index along `time`.

    Parameters
    ----------
    time : (sample,) s.
    native : width of a sample, s.
    """
    return np.flatnonzero(np.diff(time) > max(GAP * native, MIN_GAP if native < MIN_GAP else 0.0)) + 1


def trial_spans(raw: xr.Dataset, source: Source) -> np.ndarray:
    """Return starts and stops of trials, (trial, 2) s: `window_ms` around what they are aligned to.

    Parameters
    ----------
    raw : Dataset with `interval_start`, `interval_stop` and perhaps `interval_align` along `trial`, s.
    source : the entry; without a window trials have their own starts and stops.
    """
    asked = window(source)
    if asked is None:
        return np.stack([raw["interval_start"].values, raw["interval_stop"].values], 1)
    align = raw["interval_align" if "interval_align" in raw else "interval_start"].values
    return np.stack([align + asked[0], align + asked[1]], 1)


def starts(n: int, after_gaps: np.ndarray, per_window: int, source: Source) -> np.ndarray:
    """Return the first sample of each window of a continuous recording of n samples; none spans a gap.

    Parameters
    ----------
    n : number of samples.
    after_gaps : (gap,) samples that follow a gap.
    per_window : samples of a window.
    source : the entry, for its error.

    Raises
    ------
    CortseqError : no window fits.
    """
    edges = [0, *after_gaps.tolist(), n]
    found = [np.arange(a, b - per_window + 1, per_window) for a, b in itertools.pairwise(edges)]
    joined = np.concatenate(found).astype(np.int64)
    if not len(joined):
        raise CortseqError(
            "no window fits between the gaps of the recording",
            key="window_ms",
            value=source.window_ms,
            fix="shorten it",
        )
    return joined


def chosen(n: int, source: Source) -> slice:
    """Return which of n trials an entry keeps by `part` and `max_trials`.

    Parts that meet neither share a trial nor leave one out.
    """
    first, last = 0, n
    if source.part is not None:
        first, last = (round(share * n) for share in source.part)
        if last - first < 2:
            raise CortseqError(
                f"{last - first} of {n} trials are left", key="part", value=list(source.part), fix="widen it"
            )
    if source.max_trials:
        last = min(last, first + source.max_trials)
    return slice(first, last)


def nearest_in_time(wanted: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sample nearest to each wanted time: interpolation would be wrong for angles.

    Parameters
    ----------
    wanted : s, of any shape; the result has the same.
    times, values : (sample,) in ascending order of times (s).
    """
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - (wanted - times[right - 1] <= times[right] - wanted)
    return values[left] if len(times) > 1 else np.full(np.shape(wanted), values[0])
