"""Intervals of a mean over members or seeds."""

from __future__ import annotations

import numpy as np


def half_width(values: np.ndarray) -> float:
    """Return half of the 95 % t interval of the mean of values (n,), n >= 2, in their unit."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def share_interval(shares: np.ndarray, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a mean share, within [0, 1].

    Clopper & Pearson's interval (1934, Biometrika 26:404) of the mean of n trials and, of more than one
    member, the t interval over members on the scale arcsin(sqrt(share)), added in squares on that scale.

    Parameters
    ----------
    shares : (member,) each a share of the same n trials.
    n : number of trials.
    """
    from scipy.stats import beta

    mean = float(np.mean(shares))
    if not np.isfinite(mean):
        return float("nan"), float("nan")
    k = mean * n
    ends = np.array(
        [
            beta.ppf(0.025, k, n - k + 1) if k > 0 else 0.0,
            beta.ppf(0.975, k + 1, n - k) if k < n else 1.0,
        ]
    )
    angles, middle = np.arcsin(np.sqrt(np.clip(shares, 0, 1))), np.arcsin(np.sqrt(mean))
    members = half_width(angles) if len(shares) > 1 else 0.0
    far = np.hypot(np.arcsin(np.sqrt(ends)) - middle, members)
    low, high = np.clip(middle + far * [-1, 1], 0, np.pi / 2)
    return float(np.sin(low) ** 2), float(np.sin(high) ** 2)
