"""Intervals of a mean over members or seeds."""

from __future__ import annotations

import numpy as np


def half_width(values: np.ndarray) -> float:
    """Return half of the 95 % t interval of the mean of values (n,), n >= 2, in their unit."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
