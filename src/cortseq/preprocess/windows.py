"""How long a trial or window is, and whether the arrays of a recording fit."""

from __future__ import annotations

from cortseq.signs import sizes
from cortseq.sources.base import Source
from cortseq.sources.windows import DEFAULT_BIN, bin_too_wide, length, window

__all__ = ["DEFAULT_BIN", "bin_too_wide", "fits", "length", "window"]


def fits(source: Source, n_trials: int, n_bins: float, n_features: int, what: str) -> None:
    """Raise a CortseqError where trials are too long or the array (trial, bin, feature) is too large."""
    sizes.fits(n_trials, n_bins, n_features, what, source.accept)
