"""Spectra under Dale's law, outliers, stability, and balanced networks.

Theory as lines, measurements as markers.
"""

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
        sheet = Sheet(2, 4, 5.2)
        _dale(sheet, found)
        _outliers(sheet, found)
        _stability(sheet, found)
        _structure(sheet, found)
        _networks(sheet, found)
        return sheet.figure, sheet.table()


def _dale(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("Dale's law", "Re $\\lambda$", "Im $\\lambda$")
    for rows, colour, z in (("cancel on average", style.RED, 1), ("cancel", style.BLUE, 2)):
        values = found["spectrum"].sel(rows=rows)
        panel.measured(
            values.sel(part="real"),
            values.sel(part="imaginary"),
            f"rows {rows}",
            color=colour,
            ms=1,
            zorder=z,
        )
    angle, radius = np.linspace(0, 2 * np.pi, 200), float(found["bulk_radius"])
    panel.predicted(
        radius * np.cos(angle), radius * np.sin(angle), "Rajan & Abbott", color=style.BLACK, zorder=3
    )
    panel.ax.set_aspect("equal", adjustable="datalim")
    panel.legend()


def _outliers(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("low rank", "overlap of the rank-1 part", "largest |$\\lambda$|")
    panel.predicted(found["overlap"], found["outlier_predicted"], "max(1, overlap)", color=style.BLUE)
    panel.predicted(
        found["overlap"], found["outlier_shifted"].mean("draw"), "with overlaps", color=style.RED, ls="--"
    )
    outlier = found["outlier"]
    panel.measured(
        found["overlap"],
        outlier.mean("draw"),
        "norm 4",
        outlier.min("draw"),
        outlier.max("draw"),
        color=style.BLUE,
    )
    panel.legend()


def _stability(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("stability", "gain x abscissa", "growth (1/$\\tau$)")
    order = found["gain_abscissa"].values.argsort()
    reach = found["gain_abscissa"].values[order]
    panel.predicted(reach, reach - 1, "gain x abscissa - 1", color=style.BLACK)
    panel.measured(reach, found["growth_rate"].values[order], "simulated", color=style.BLUE, ms=2)
    panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    panel.legend()


def _structure(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("structure taken off", "|λ| / (sd √N)", "share of eigenvalues")
    grid = np.linspace(0, 1, 50)
    panel.predicted(grid, grid**2, "circular law", color=style.BLACK)
    few = found.isel(eigenvalue=slice(0, None, max(1, found.sizes["eigenvalue"] // 40)))
    panel.measured(few["radius_of_rest"], few["share"], "rest", color=style.BLUE, ms=2.5)
    panel.measured(few["radius_of_all"], few["share"], "whole matrix", color=style.RED, ms=2.5, marker="x")
    panel.legend()


def _networks(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("balance", "inputs K", "|E + I| / (|E| + |I|)", xscale="log", yscale="log")
    panel.predicted(found["inputs"], found["balance_index_predicted"], "theory, finite K", color=style.BLUE)
    panel.measured(found["inputs"], found["balance_index"], "binary units", color=style.BLUE)
    first = found["balance_index_predicted"].values[0]
    panel.predicted(
        found["inputs"],
        first * (found["inputs"] / found["inputs"][0]) ** -0.5,
        "K$^{-1/2}$",
        color=style.GREY,
        ls=":",
    )
    panel.legend()
    panel = sheet.panel("linear rates", "external drive", "active units")
    for name, colour in zip(found["population"].values, (style.RED, style.BLUE), strict=True):
        rows = found.sel(population=name)
        panel.predicted(rows["drive"], rows["rate_predicted"], f"{name}: $-J^{{-1}}E$", color=colour)
        panel.predicted(rows["drive"], rows["rate_predicted_finite"], "finite K", color=colour, ls=":")
        panel.measured(rows["drive"], rows["rate"], "measured", color=colour)
    panel.legend()
    panel = sheet.panel("irregular", "spikes per turn", "CV of intervals")
    panel.predicted(
        found["unit_rate"], found["interval_variation_predicted"], "coin, √(1-p)", color=style.BLACK
    )
    bands = found["interval_variation"]
    mean, low, high = (bands.sel(band=b) for b in ("mean", "low", "high"))
    panel.measured(found["unit_rate"], mean, "units, 80 %", low, high, color=style.BLUE)
    panel.ax.set_ylim(0, 1.3)
    panel.legend()
    panel = sheet.panel("tracking", "inputs K", "lag ($\\tau$)", xscale="log", yscale="log")
    panel.predicted(found["inputs"], float(found["lag_alone"]), "one unit alone", color=style.GREY)
    panel.predicted(found["inputs"], found["lag_predicted"], "theory", color=style.BLUE)
    lag, half = found["lag"], 1.96 * found["lag_error"]
    panel.measured(found["inputs"], lag, "population", lag - half, lag + half, color=style.BLUE)
    panel.legend()
