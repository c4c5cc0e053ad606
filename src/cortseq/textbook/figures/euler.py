"""Euler's step of the rate equation: order, low-pass filter, false instability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (style.BLUE, style.ORANGE)


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Lines: theory. Markers: the leaky network.
    """
    with style.style():
        sheet = Sheet(2, 3, 4.8)
        _order(sheet, found)
        _impulse(sheet, found)
        _response(sheet, found)
        _growth(sheet, found)
        _orbits(sheet, found)
        return sheet.figure, sheet.table()


def _order(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("error at a fixed time", "dt (tau)", "error |h - exact|", xscale="log", yscale="log")
    for rule, colour in zip(found["rule"].values, COLOURS, strict=True):
        rows = found.sel(rule=rule)
        panel.predicted(rows["step"], rows["error_predicted"], rule, listed=False, color=colour)
        name = f"{rule}, order {float(rows['order']):.2f}"
        panel.measured(rows["step"], rows["error"], rule, listed=name, color=colour)
    panel.legend()


def _impulse(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("impulse response", "time (s)", "h after a pulse")
    panel.predicted(found["time"], found["impulse_predicted"], "exp(-t/tau)", color=style.BLACK)
    for i, rule in enumerate(found["rule"].values):
        values = found["impulse"].sel(rule=rule)
        panel.measured(found["time"], values, rule, color=COLOURS[i], ms=2 + i, mfc="none")
    panel.legend()


def _response(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("low-pass filter", "frequency (Hz)", "power passed", xscale="log", yscale="log")
    line = found["frequency_line"]
    panel.predicted(line, found["response_predicted"] ** 2, "equation", color=style.BLACK)
    for i, rule in enumerate(found["rule"].values):
        rows = found.sel(rule=rule)
        panel.predicted(line, rows["response_of_map"] ** 2, rule, listed=False, color=COLOURS[i], lw=0.8)
        panel.measured(rows["frequency"], rows["response"] ** 2, rule, color=COLOURS[i], ms=3 + i, mfc="none")
    half = 1 / (2 * np.pi * found.attrs["tau"])
    panel.predicted(half, [1e-3, 0.5], "half power at 1/(2π tau)", color=style.GREY, ls=":")
    panel.legend()


def _growth(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("a damped mode", "dt (tau)", "growth per step")
    for rule, colour in zip(found["rule"].values, COLOURS, strict=True):
        rows = found.sel(rule=rule)
        panel.predicted(rows["step_line"], rows["growth_predicted"], rule, listed=False, color=colour)
        panel.measured(rows["mode_step"], rows["growth"], rule, color=colour)
    panel.ax.axhline(1, color="0.8", lw=0.7, zorder=0)
    at = float(found["threshold_predicted"])
    panel.ax.axvline(at, color=style.RED, lw=0.8, ls="--", zorder=0, label="threshold")
    panel.legend(2)


def _orbits(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("steps below and above the threshold", "time (tau)", "h of one unit")
    panel.ax.set_subplotspec(panel.ax.get_gridspec()[1, 1:])
    panel.predicted(
        found["orbit_time"], found["orbit"].sel(run="exact"), "exact", "equation", color=style.BLACK, lw=1.4
    )
    for run, colour in zip(found["run"].values[1:], (style.SKY, style.RED), strict=True):
        look: dict[str, Any] = {"color": colour, "marker": "", "ls": "-", "lw": 0.9}
        panel.measured(found["orbit_time"], found["orbit"].sel(run=run), run, listed=f"dt = {run}", **look)
    panel.legend(3)
