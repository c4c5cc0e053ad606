"""Whether the arrays of a recording fit into a job, before one of them is made."""

from __future__ import annotations

from collections.abc import Sequence

from cortseq.errors import CortseqError
from cortseq.memory import HELD, affordable

MOST_BINS = 100_000  # bins a trial
# Per bin and feature of what is held at once: recorded samples while they are cut, counts that are made of
# spikes while they are learned from.
_BYTES = {"counts": 9.0, "spikes": HELD, "signal": 24.0, "symbols": 16.0}
_FEATURES = {"counts": "units", "spikes": "units", "signal": "channels", "symbols": "labels"}


def fits(n_trials: int, n_bins: float, n_features: int, track: str, accept: Sequence[str] = ()) -> None:
    """Raise a CortseqError where a trial has too many bins, or the array does not fit a job.

    Parameters
    ----------
    n_trials, n_bins, n_features : shape of the array (trial, bin, unit or channel).
    track : "counts", "symbols" or "signal", or "spikes" that are counted block by block.
    accept : of the entry; `bins_per_trial` lets long trials pass.
    """
    if n_bins > MOST_BINS and "bins_per_trial" not in accept:
        raise CortseqError(
            f"the longest trial has {n_bins:.4g} bins, more than {MOST_BINS}",
            key="bins_per_trial",
            fix="check time_unit and the trials, widen bin_ms, or set window_ms",
        )
    affordable(
        float(n_trials) * n_bins * n_features * _BYTES[track],
        f"{n_trials} trials x {n_bins:.6g} bins x {n_features} {_FEATURES[track]}",
        key="memory",
        fix="check time_unit, widen bin_ms, or use fewer units or trials",
    )
