"""How long a trial or window is, and whether the arrays of a recording fit."""

from __future__ import annotations

from cortseq.errors import CortseqError
from cortseq.signs import sizes
from cortseq.sources.base import Source

DEFAULT_BIN = 0.02  # s, for spikes
DEFAULT_WINDOW = 5.0  # s, windows cut from continuous recordings


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


def fits(source: Source, n_trials: int, n_bins: float, n_features: int, what: str) -> None:
    """Raise a CortseqError where trials are too long or the array (trial, bin, feature) is too large."""
    sizes.fits(n_trials, n_bins, n_features, what, source.accept)
