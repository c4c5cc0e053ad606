"""Panels that remember what they draw: the table of a figure is exactly the numbers in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import style

_LABELS = 30  # points that ticks and their label take below the axes
COLUMNS = ["panel", "series", "kind", "x", "y", "low", "high"]


@dataclass
class Sheet:
    """A page of panels (rows, columns); call within `style.style()`."""

    rows: int
    columns: int
    height: float
    parts: list[pd.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the figure and its axes."""
        self.figure, axes = style.figure(self.rows, self.columns, style.PAGE, self.height)
        self._free = list(axes.flat)
        self._letters = iter("abcdefghijkl")

    def panel(self, title: str, x: str, y: str, **scales: Any) -> Panel:
        """Return the next free axes; `scales` go to `Axes.set`, such as xscale="log"."""
        ax = self._free.pop(0)
        ax.set(xlabel=x, ylabel=y, **scales)
        ax.set_title(f"{next(self._letters)}  {title}", loc="left", fontsize=8)
        return Panel(self, ax, title)

    def table(self) -> pd.DataFrame:
        """Return one row per point drawn; kind: predicted (lines) or measured (markers).

        The last call on a sheet: it takes off the axes left free.
        """
        for ax in self._free:
            ax.remove()
        for ax in self.figure.axes:
            for axis in (ax.xaxis, ax.yaxis):
                style.short_logarithm(axis)
        return pd.concat(self.parts, ignore_index=True)[COLUMNS]


@dataclass
class Panel:
    """One axes: theory as lines, measurements as markers with intervals where they are given.

    A `label` names the series in the table and, unless `listed` gives it another name, in the legend;
    listed=False keeps it out of the legend.
    """

    sheet: Sheet
    ax: Any
    title: str

    def predicted(self, x: Any, y: Any, label: str, listed: bool | str = True, **look: Any) -> None:
        """Draw a line of theory through points x, y (point,)."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        self.ax.plot(x, y, **{"lw": 1.2, "label": _listed(label, listed), **look})
        self._note(label, "predicted", x, y, np.nan, np.nan)

    def measured(
        self,
        x: Any,
        y: Any,
        label: str,
        low: Any = None,
        high: Any = None,
        listed: bool | str = True,
        **look: Any,
    ) -> None:
        """Draw measured points, with intervals where their ends `low` and `high` are given."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        look = {"ls": "", "marker": "o", "ms": 3, "label": _listed(label, listed), **look}
        if low is None or high is None:
            low = high = np.nan
            self.ax.plot(x, y, **look)
        else:
            low, high = np.asarray(low, float), np.asarray(high, float)
            self.ax.errorbar(x, y, np.maximum([y - low, high - y], 0), elinewidth=0.7, **look)
        self._note(label, "measured", x, y, low, high)

    def legend(self, columns: int = 1) -> None:
        """Place the legend below the axes and their labels, where it covers nothing."""
        from matplotlib.transforms import ScaledTranslation

        below = ScaledTranslation(0, -_LABELS / 72, self.sheet.figure.dpi_scale_trans)
        self.ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=self.ax.transAxes + below,
            ncols=columns,
            borderaxespad=0,
            handlelength=1.4,
            columnspacing=0.8,
            fontsize=6.5,
        )

    def _note(self, label: str, kind: str, x: Any, y: Any, low: Any, high: Any) -> None:
        columns = {"x": x, "y": y, "low": low, "high": high}
        rows = {name: np.broadcast_to(v, y.shape).ravel() for name, v in columns.items()}
        self.sheet.parts.append(pd.DataFrame({"panel": self.title, "series": label, "kind": kind, **rows}))


def mean_interval(values: Any, dim: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over a dimension of a DataArray and its 95 % interval (Student).

    (mean, low, high), NaN left out.
    """
    from scipy import stats

    n = values.count(dim)
    error = values.std(dim, ddof=1) / np.sqrt(n)
    half = error * stats.t.ppf(0.975, np.maximum(n - 1, 1))
    mean = values.mean(dim)
    return mean.values, (mean - half).values, (mean + half).values


def _listed(label: str, listed: bool | str) -> str:
    """Return the name in the legend; matplotlib leaves "_" out."""
    return label if listed is True else listed or "_"
