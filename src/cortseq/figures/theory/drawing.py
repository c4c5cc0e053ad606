"""Panels that write down what they draw: the table of a figure holds exactly its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd


class Drawn:
    """Draws predictions as lines and measurements as markers, and keeps both as rows of one long table.

    Rows: panel, series, kind ("predicted" or "measured"), x, y, low, high (NaN where no interval is drawn).
    """

    def __init__(self):
        self.parts: list[pd.DataFrame] = []

    def line(self, ax, panel: str, series: str, x, y, kind: str = "predicted", **look) -> None:
        """A line, as predictions are. `look`: of matplotlib; `label` defaults to the name of the series."""
        self._keep(panel, series, kind, x, y, np.nan, np.nan)
        ax.plot(x, y, **{"label": series, **look})

    def points(self, ax, panel: str, series: str, x, y, low=None, high=None, **look) -> None:
        """A measurement, with intervals from `low` to `high` where given."""
        y = np.asarray(y, float)
        low, high = (np.full(y.shape, np.nan) if v is None else np.asarray(v, float) for v in (low, high))
        self._keep(panel, series, "measured", x, y, low, high)
        bars = None if np.isnan(low).all() else np.clip([y - low, high - y], 0, None)
        look = {"label": series, "fmt": "o", "ms": 3.5, "elinewidth": 0.8, **look}
        ax.errorbar(x, y, bars, **look)

    def cloud(self, ax, panel: str, series: str, x, y, **look) -> None:
        """Many single measurements, small dots."""
        self._keep(panel, series, "measured", x, y, np.nan, np.nan)
        ax.plot(x, y, ".", **{"label": series, "ms": 1.5, **look})

    def _keep(self, panel, series, kind, x, y, low, high) -> None:
        columns = {"x": x, "y": y, "low": low, "high": high}
        length = np.size(x)
        columns = {name: np.broadcast_to(np.asarray(value, float), length) for name, value in columns.items()}
        self.parts.append(pd.DataFrame({"panel": panel, "series": series, "kind": kind, **columns}))

    @property
    def table(self) -> pd.DataFrame:
        return pd.concat(self.parts, ignore_index=True)


def spread(values, dim: str):
    """Mean over a dimension of a DataArray and its 95 % interval (Student), NaN left out: (mean, low, high)."""
    from scipy import stats

    n = values.count(dim)
    error = values.std(dim, ddof=1) / np.sqrt(n)
    half = error * stats.t.ppf(0.975, np.maximum(n - 1, 1))
    mean = values.mean(dim)
    return mean.values, (mean - half).values, (mean + half).values
