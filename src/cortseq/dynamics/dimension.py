"""How many dimensions a covariance fills."""

from __future__ import annotations

import numpy as np


def participation_ratio(covariance) -> float:
    """(tr C)^2 / tr(C^2), between 1 (a line) and d (a ball); NaN where nothing varies.

    Parameters
    ----------
    covariance : (d, d), symmetric. Gao et al. 2017, bioRxiv 214262.
    """
    c = np.asarray(covariance, dtype=np.float64)
    total = np.sum(c * c.T)
    return float(np.trace(c) ** 2 / total) if total > 0 else float("nan")
