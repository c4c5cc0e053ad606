"""Learning a long lag: error, and the gradient across the lag before and after learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = tuple(zip("osDs^", (style.BLACK, style.SKY, style.BLUE, style.ORANGE, style.RED)))


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Markers: means over restarts, dots: single restarts; lines in the middle: direct paths at the start,
    theory.
    """
    with style.style():
        sheet = Sheet(1, 3, 2.9)
        _errors(sheet, found)
        _norms(sheet, found, "norm_before", "before learning")
        _norms(sheet, found, "norm_after", "after learning")
        handles, labels = sheet.figure.axes[0].get_legend_handles_labels()
        sheet.figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return sheet.figure, sheet.table()


def _errors(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("learning", "lag (symbols)", "error on the last symbol", xscale="log")
    lag = found["lag"].values
    panel.predicted(lag[[0, -1]], 0.5, "chance", color=style.GREY, ls="--", lw=0.8)
    for name, rows, (marker, colour) in zip(found["network"].values, found["error"], LOOKS):
        _restarts(panel, name, lag, rows, colour)
        panel.measured(lag, rows.mean("member"), name, marker=marker, color=colour, ls="-", lw=0.8, ms=4)


def _restarts(panel: Panel, name: str, x: Any, values: xr.DataArray, colour: str) -> None:
    for i, y in enumerate(values.transpose("member", ...)):
        panel.measured(x, y, f"{name}, restart {i}", listed=False, color=colour, ms=1.25)


def _norms(sheet: Sheet, found: xr.Dataset, variable: str, title: str) -> None:
    panel = sheet.panel(title, "lag k (steps)", "|dh(t)/dh(t-k)|", yscale="log")
    seen: set[Any] = set()
    x = found["lag"].values - 1.0
    for i, (name, (marker, colour)) in enumerate(zip(found["network"].values, LOOKS)):
        rows = found.isel(network=i)
        horizon = round(float(rows["horizon_predicted"]), 6)
        if variable == "norm_before" and horizon not in seen:
            panel.predicted(rows["line"], rows["norm_predicted"], name, color=colour, lw=0.8)
            seen.add(horizon)
        _restarts(panel, name, x, rows[variable], colour)
        mean = np.exp(np.log(rows[variable].values).mean(-1))
        panel.measured(x, mean, name, marker=marker, color=colour, mfc="none", ms=3.5)
    panel.ax.set_ylim(bottom=max(panel.ax.get_ylim()[0], 1e-12))
