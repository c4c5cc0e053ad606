"""Order to chaos: activity, autocorrelation, exponents and a spectrum, beside mean-field theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet, mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Lines: mean-field theory. Markers: networks, mean and 95 % interval over networks.
    """
    with style.style():
        sheet = Sheet(2, 4, 5.0)
        _traces(sheet, found)
        _spectrum(sheet, found)
        _activity(sheet, found)
        _autocorrelation(sheet, found)
        _exponent(sheet, found, "chaos", "tau", "gain", "lyapunov")
        _sizes(sheet, found)
        _exponent(sheet, found, "map h' = tanh(Jh)", "step", "map_gain", "map_lyapunov")
        _map_activity(sheet, found)
        return sheet.figure, sheet.table()


def _traces(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("rest and chaos", "time (tau)", "x of three units")
    for gain, colour in zip(found["trace_gain"].values, (style.BLACK, style.SKY), strict=True):
        for i in range(found.sizes["unit"]):
            x, name = found["trace"].sel(trace_gain=gain).isel(unit=i), f"g = {gain:g}"
            look: dict[str, Any] = {"color": colour, "marker": "", "ls": "-", "lw": 0.8}
            panel.measured(found["time"], x, f"{name}, unit {i}", listed=i == 0 and name, **look)
    panel.legend(2)


def _spectrum(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("-1 + J, disc of radius g", "Re (1/tau)", "Im (1/tau)")
    angle = np.linspace(0, 2 * np.pi, 200)
    for gain, colour in ((1.5, style.BLUE), (0.7, style.GREY)):
        real, imag = gain * found["eigenvalue_real"] - 1, gain * found["eigenvalue_imag"]
        panel.measured(real, imag, f"g = {gain:g}", color=colour, ms=1)
        circle = gain * np.cos(angle) - 1, gain * np.sin(angle)
        panel.predicted(*circle, f"g = {gain:g}", listed=False, color=style.BLACK, lw=0.8)
    panel.ax.axvline(0, color=style.RED, lw=0.8, ls="--")
    panel.ax.set_aspect("equal", adjustable="datalim")
    panel.legend(2)


def _activity(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel(f"activity, N = {found.attrs['units']}", "gain g", "mean square")
    for name, colour, label in (("variance", style.BLUE, "Δ(0)"), ("q", style.ORANGE, "q")):
        panel.predicted(found["line"], found[f"{name}_predicted"], label, color=colour)
        mean, low, high = mean_interval(found[name], "network")
        panel.measured(found["gain"], mean, label, low, high, listed=False, color=colour)
    panel.legend(2)


def _autocorrelation(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel(f"memory, g = {found.attrs['size_gain']:g}", "lag (tau)", "Δ(lag)")
    lag, sizes = found["lag"].values, found["size"].values
    panel.predicted(lag, found["autocorrelation_predicted"], "theory", color=style.BLACK)
    some = sizes[[0, len(sizes) // 2, max(0, len(sizes) - 2)]]
    for n, colour in zip(some, (style.GREY, style.SKY, style.BLUE), strict=True):
        measured = found["autocorrelation"].sel(size=n)
        panel.measured(lag[::2], measured[::2], f"N = {n}", color=colour, ms=2)
    panel.legend(2)


def _exponent(sheet: Sheet, found: xr.Dataset, title: str, unit: str, gain: str, name: str) -> None:
    panel = sheet.panel(title, "gain g", f"largest exponent (1/{unit})")
    panel.predicted(found["line"], found[f"{name}_predicted"], "theory", color=style.BLACK)
    mean, low, high = mean_interval(found[name], "network")
    panel.measured(found[gain], mean, f"N = {found.attrs['units']}", low, high, color=style.BLUE)
    panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    panel.ax.axvspan(1, 1.3, color="0.93", zorder=-1)
    panel.legend(2)


def _sizes(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("finite size", "units N", "largest exponent (1/tau)", xscale="log")
    n = found["size"].values
    panel.predicted(n[[0, -1]], found["size_lyapunov_predicted"], "theory", color=style.BLACK)
    mean, low, high = mean_interval(found["size_lyapunov"], "network_of_size")
    panel.measured(n, mean, f"g = {found.attrs['size_gain']:g}", low, high, color=style.BLUE)
    panel.legend(2)


def _map_activity(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("map: activity", "gain g", "q = <h²>")
    panel.predicted(found["line"], found["map_q_predicted"], "theory", color=style.BLACK)
    mean, low, high = mean_interval(found["map_q"], "network")
    panel.measured(found["map_gain"], mean, f"N = {found.attrs['units']}", low, high, color=style.BLUE)
    panel.legend(2)
