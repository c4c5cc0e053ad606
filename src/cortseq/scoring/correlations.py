"""Pearson correlations of expected with recorded counts, which benchmarks of forecasts report.

They ignore how large a prediction is and how wide its distribution, so they stand beside the likelihood and
not in its place. With E the expected counts and y the recorded ones, of unit n in bin t,

    population    over bins, of the sums over units: does the model know when the population is active?
    spatial       over units in one bin, mean over bins with a spike: does it know which units are?
    unit          over bins, mean over units with a spike and a changing expectation
    unit_weighted the same, each unit weighted by its spikes
    unit_expected what `unit` would be if E were the true rates of Poisson counts, sqrt(V / (V + mean E)) with
                  V the variance of E over bins: a model that expects more of itself is too sure

All bins of test trials count that are scored, from `burn_in` on. The names are those of a benchmark of
one-step forecasts (Minnick et al. 2026, arXiv:2605.12992); how it weighs units, and its split-half ceiling,
are not stated in what was at hand, so that values need not be comparable with its own.
"""

from __future__ import annotations

import numpy as np

NAMES = ("population_r", "spatial_r", "unit_r", "unit_r_weighted", "unit_r_expected")


class Correlations:
    """Collects bins of one prediction, and says how they correlate.

    Parameters
    ----------
    n_units : number of units.
    """

    def __init__(self, n_units: int):
        self.bins = 0
        self.by_unit = np.zeros((5, n_units))  # sums of E, y, E^2, y^2 and E y
        self.together = np.zeros(5)
        self.spatial, self.spatial_bins = 0.0, 0

    def add(self, expected: np.ndarray, recorded: np.ndarray) -> None:
        """Add bins; both (bin, unit)."""
        self.bins += len(recorded)
        self.by_unit += _sums(expected, recorded)
        self.together += _sums(expected.sum(1), recorded.sum(1))
        active = recorded.any(1)
        r = pearson(_sums(expected[active].T, recorded[active].T), expected.shape[1])
        self.spatial += float(r[np.isfinite(r)].sum())
        self.spatial_bins += int(np.isfinite(r).sum())

    def found(self) -> dict[str, float]:
        """Return each of `NAMES`; NaN where nothing varies."""
        r = pearson(self.by_unit, self.bins)
        spikes = self.by_unit[1]
        live = (spikes > 0) & np.isfinite(r)
        if not live.any():
            return dict.fromkeys(NAMES, np.nan)
        mean = self.by_unit[0] / self.bins
        variance = np.maximum(self.by_unit[2] / self.bins - mean**2, 0)
        return {
            "population_r": float(pearson(self.together, self.bins)),
            "spatial_r": self.spatial / self.spatial_bins if self.spatial_bins else np.nan,
            "unit_r": float(r[live].mean()),
            "unit_r_weighted": float(np.average(r[live], weights=spikes[live])),
            "unit_r_expected": float(np.sqrt(variance / (variance + mean))[live].mean()),
        }


def _sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sums of x, y, x^2, y^2 and x y over the first axis, (5, ...)."""
    return np.stack([x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)])


def pearson(sums: np.ndarray, n: int) -> np.ndarray:
    """Return the correlation of x and y from their sums (5, ...) over n pairs; NaN where one is constant."""
    if n < 2:
        return np.full(sums.shape[1:], np.nan)
    x, y, xx, yy, xy = sums
    spread = np.stack([xx - x * x / n, yy - y * y / n])
    constant = (spread <= 1e-12 * np.stack([xx, yy])).any(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (xy - x * y / n) / np.sqrt(spread.prod(0))
    return np.where(constant, np.nan, r)
