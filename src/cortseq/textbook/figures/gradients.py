"""Gradients against lag: random networks beside mean-field theory, driven ones, contracting ones, LSTMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet, mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Lines: theory. Markers: networks, mean and 95 % interval over networks where there are several.
    """
    with style.style():
        sheet = Sheet(1, 4, 3.0)
        _products(sheet, found)
        _driven(sheet, found)
        _contracting(sheet, found)
        _horizons(sheet, found)
        return sheet.figure, sheet.table()


def _products(sheet: Sheet, found: xr.Dataset) -> None:
    title = f"tanh map, N = {found.attrs['units']}"
    panel = sheet.panel(title, "lag k (steps)", "|dh(t)/dh(t-k)| / √N", yscale="log")
    lag = found["lag"].values
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        rows, series = found.sel(gain=gain), f"g = {gain:g}"
        panel.predicted(lag, rows["norm_predicted"], series, color=colour)
        mean, low, high = (np.exp(v[::2]) for v in mean_interval(np.log(rows["norm"]), "network"))
        panel.measured(lag[::2], mean, series, low, high, listed=False, color=colour, ms=2.5)
    panel.legend(2)


def _driven(sheet: Sheet, found: xr.Dataset) -> None:
    title = f"driven, radius {found.attrs['noise_gain']:g}"
    panel = sheet.panel(title, "sd of the input", "ln growth per step")
    panel.predicted(found["noise_line"], found["driven_predicted"], "theory", color=style.BLACK)
    mean, low, high = mean_interval(found["driven"], "network")
    panel.measured(found["noise"], mean, f"N = {found.attrs['units']}", low, high, color=style.BLUE)
    panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    panel.legend()


def _contracting(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("contracting, σ < 1", "lag k (steps)", "largest singular value", yscale="log")
    lag = found["lag"].values
    for sigma, colour in zip(found["sigma"].values, style.CYCLE, strict=False):
        rows, series = found.sel(sigma=sigma), f"σ = {sigma:g}"
        panel.predicted(lag, rows["contracting_bound"], series, f"bound, {series}", color=colour)
        panel.measured(lag[::2], rows["contracting"][::2], series, listed=False, color=colour, ms=2.5)
    panel.legend()


def _horizons(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("LSTM", "forget bias b", "horizon (steps)", yscale="log")
    panel.predicted(found["bias_line"], found["horizon_predicted"], "-1/ln σ(b)", color=style.BLACK)
    looks = zip(found["path"].values, "osD", (style.GREY, style.BLUE, style.RED), strict=True)
    for path, marker, colour in looks:
        reach = found["horizon"].sel(path=path).where(np.isfinite)
        panel.measured(found["bias"], reach, path, marker=marker, color=colour, mfc="none", ms=4)
    panel.legend()
