"""Order to chaos: activity, autocorrelation, exponents and a spectrum, beside mean-field theory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn, spread


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Lines: mean-field theory. Markers: networks, mean and 95 % interval over networks."""
    drawn = Drawn()
    with style.style():
        fig, axes = style.figure(2, 4, style.PAGE, 4.0)
        _traces(axes[0, 0], found, drawn)
        _spectrum(axes[0, 1], found, drawn)
        _activity(axes[0, 2], found, drawn)
        _autocorrelation(axes[0, 3], found, drawn)
        _exponent(axes[1, 0], found, drawn, "gain", "lyapunov", "tau")
        _sizes(axes[1, 1], found, drawn)
        _exponent(axes[1, 2], found, drawn, "map_gain", "map_lyapunov", "step")
        _map_activity(axes[1, 3], found, drawn)
    return fig, drawn.table


def _traces(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for gain, colour in zip(found["trace_gain"].values, (style.BLACK, style.SKY), strict=True):
        for i in range(found.sizes["unit"]):
            x = found["trace"].sel(trace_gain=gain).isel(unit=i).values
            series, label = f"g = {gain:g}, unit {i}", None if i else f"g = {gain:g}"
            look = {"color": colour, "lw": 0.8, "label": label}
            drawn.line(ax, "traces", series, found["time"], x, kind="measured", **look)
    ax.set_xlabel("time (tau)")
    ax.set_ylabel("x of three units")
    ax.set_title("rest and chaos", loc="left")


def _spectrum(ax, found: xr.Dataset, drawn: Drawn) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    for gain, colour in ((1.5, style.BLUE), (0.7, style.GREY)):
        real, imag = gain * found["eigenvalue_real"] - 1, gain * found["eigenvalue_imag"]
        drawn.cloud(ax, "spectrum", f"g = {gain:g}", real, imag, color=colour, label=None)
        circle = gain * np.cos(angle) - 1, gain * np.sin(angle)
        drawn.line(ax, "spectrum", f"g = {gain:g}", *circle, color=style.BLACK, lw=0.8, label=None)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
        ax.text(-1, gain - 0.35, f"g = {gain:g}", ha="center", va="center", fontsize=6.5, bbox=box)
    ax.axvline(0, color=style.RED, lw=0.8, ls="--")
    ax.set_aspect("equal")
    ax.set_ylim(-1.75, 1.9)
    ax.set_xlabel("Re (1/tau)")
    ax.set_ylabel("Im (1/tau)")
    ax.set_title("-1 + J, disc of radius g", loc="left")


def _activity(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for name, colour, label in (("variance", style.BLUE, "Δ(0)"), ("q", style.ORANGE, "q")):
        drawn.line(ax, "activity", label, found["line"], found[f"{name}_predicted"], color=colour)
        mean, low, high = spread(found[name], "network")
        drawn.points(ax, "activity", label, found["gain"], mean, low, high, color=colour, label=None)
    ax.set_xlabel("gain g")
    ax.set_ylabel("mean square")
    ax.legend(loc="upper left")
    ax.set_title(f"activity, N = {found.attrs['units']}", loc="left")


def _autocorrelation(ax, found: xr.Dataset, drawn: Drawn) -> None:
    lag, sizes = found["lag"].values, found["size"].values
    drawn.line(ax, "autocorrelation", "theory", lag, found["autocorrelation_predicted"], color=style.BLACK)
    for n, colour in zip(
        sizes[[0, len(sizes) // 2, max(0, len(sizes) - 2)]], (style.GREY, style.SKY, style.BLUE), strict=True
    ):
        measured = found["autocorrelation"].sel(size=n)
        drawn.points(ax, "autocorrelation", f"N = {n}", lag[::2], measured[::2], color=colour, ms=2)
    ax.set_xlabel("lag (tau)")
    ax.set_ylabel("Δ(lag)")
    ax.legend()
    ax.set_title(f"memory, g = {found.attrs['size_gain']:g}", loc="left")


def _exponent(ax, found: xr.Dataset, drawn: Drawn, gain: str, name: str, unit: str) -> None:
    drawn.line(ax, name, "theory", found["line"], found[f"{name}_predicted"], color=style.BLACK)
    mean, low, high = spread(found[name], "network")
    series = f"N = {found.attrs['units']}"
    drawn.points(ax, name, series, found[gain], mean, low, high, color=style.BLUE)
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    ax.axvspan(1, 1.3, color="0.93", zorder=-1)
    ax.set_xlabel("gain g")
    ax.set_ylabel(f"largest exponent (1/{unit})")
    ax.legend(loc="lower right")
    ax.set_title("chaos" if unit == "tau" else "map h' = tanh(Jh)", loc="left")


def _sizes(ax, found: xr.Dataset, drawn: Drawn) -> None:
    gain, n = found.attrs["size_gain"], found["size"].values
    predicted = float(found["size_lyapunov_predicted"])
    drawn.line(ax, "sizes", "theory", [n[0], n[-1]], [predicted] * 2, color=style.BLACK)
    mean, low, high = spread(found["size_lyapunov"], "network_of_size")
    drawn.points(ax, "sizes", f"g = {gain:g}", n, mean, low, high, color=style.BLUE)
    ax.set_xscale("log")
    ax.set_xticks(n, n)
    ax.minorticks_off()
    ax.set_xlabel("units N")
    ax.set_ylabel("largest exponent (1/tau)")
    ax.legend(loc="lower right")
    ax.set_title("finite size", loc="left")


def _map_activity(ax, found: xr.Dataset, drawn: Drawn) -> None:
    drawn.line(ax, "map_q", "theory", found["line"], found["map_q_predicted"], color=style.BLACK)
    mean, low, high = spread(found["map_q"], "network")
    drawn.points(
        ax, "map_q", f"N = {found.attrs['units']}", found["map_gain"], mean, low, high, color=style.BLUE
    )
    ax.set_xlabel("gain g")
    ax.set_ylabel("q = <h²>")
    ax.legend(loc="lower right")
    ax.set_title("map: activity", loc="left")
