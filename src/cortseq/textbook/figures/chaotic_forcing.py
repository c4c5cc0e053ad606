"""The Lorenz system and networks fitted to it: orbits, and largest exponents by strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers."""
    with style.style():
        names = [str(s) for s in found["strategy"].values]
        sheet = Sheet(1, 2 + len(names), 2.4)
        panel = sheet.panel("Lorenz system", "x", "z")
        orbit = found["orbit"].values
        panel.predicted(orbit[:, 0], orbit[:, 2], "orbit", color=style.BLACK, lw=0.4)
        limits = panel.ax.get_xlim(), panel.ax.get_ylim()
        for name, run in zip(names, found["free_run"].values, strict=True):
            panel = sheet.panel(name, "x", "z")
            panel.measured(run[:, 0], run[:, 2], "closed loop", color=style.BLUE, ls="-", lw=0.4, marker="")
            panel.ax.set(xlim=limits[0], ylim=limits[1])
        panel = sheet.panel("exponent", "", "largest (1/time)")
        at = np.arange(len(names))
        panel.predicted(
            [-0.5, len(at) - 0.5], float(found["exponent_predicted"]), "Lorenz system", color=style.BLACK
        )
        for i, values in enumerate(found["exponent"].values):
            panel.measured(np.full(len(values), i), values, names[i], color=style.BLUE)
        panel.ax.set_xticks(at, names, rotation=60)
        panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
        return sheet.figure, sheet.table()
