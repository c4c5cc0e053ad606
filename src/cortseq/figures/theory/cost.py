"""What BPTT costs, and what truncation costs instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Lines: laws through the last point (cost), theory without constants (bias). Markers: measured."""
    drawn = Drawn()
    with style.style():
        fig, axes = style.figure(2, 3, style.PAGE, 4.4)
        _time(axes[0, 0], found, drawn, "bins", "bins T", "∝ T")
        _time(axes[0, 1], found, drawn, "hidden", "units H", "∝ H² + 100 H")
        _memory(axes[0, 2], found, drawn)
        _bias(axes[1, 0], found, drawn, 0, "every loss goes back k")
        _bias(axes[1, 1], found, drawn, 1, "windows of k side by side")
        _cosine(axes[1, 2], found, drawn)
    return fig, drawn.table


def _time(ax, found: xr.Dataset, drawn: Drawn, name: str, label: str, law: str) -> None:
    x = found[name].values
    drawn.line(ax, f"time of {name}", law, x, 1e3 * found[f"time_of_{name}_predicted"], color=style.BLACK)
    drawn.points(ax, f"time of {name}", "measured", x, 1e3 * found[f"time_of_{name}"], color=style.BLUE)
    _logarithmic(ax, x)
    ax.set_xlabel(label)
    ax.set_ylabel("time of a step (ms)")
    ax.legend(loc="upper left")
    ax.set_title(f"time against {label[-1]}", loc="left")


def _memory(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for mode, colour, law in zip(found["mode"].values, style.CYCLE, ("T", "1", "√T"), strict=False):
        one, series = found.sel(mode=mode), f"{mode} ∝ {law}"
        x = found["memory_bins"].values
        drawn.line(ax, "memory", series, x, one["kept_predicted"] / 2**20, color=colour, label=None)
        drawn.points(ax, "memory", series, x, one["kept"] / 2**20, color=colour)
    _logarithmic(ax, found["memory_bins"].values)
    ax.set_xlabel("bins T")
    ax.set_ylabel("activations kept (MiB)")
    ax.legend(loc="upper left")
    ax.set_ylim(top=ax.get_ylim()[1] * 8)
    ax.set_title("memory against T", loc="left")


def _bias(ax, found: xr.Dataset, drawn: Drawn, window: int, title: str) -> None:
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        one, series = found.sel(gain=gain).isel(window=window), f"g = {gain:g}"
        drawn.line(ax, title, series, found["depth"], one["error_predicted"], color=colour, label=None)
        drawn.points(ax, title, series, found["depth"], one["error"], color=colour)
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(1e-5, 0.5 * float(found["error"].isel(window=window).min())))
    ax.set_xlabel("k (bins)")
    ax.set_ylabel("relative error of the gradient")
    ax.legend(loc="lower left" if window else "center right")
    ax.set_title(title, loc="left")


def _cosine(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        one, series = found.sel(gain=gain).isel(window=1), f"g = {gain:g}"
        drawn.line(
            ax,
            "cosine",
            series,
            found["depth"],
            one["cosine"],
            kind="measured",
            color=colour,
            marker="o",
            ms=3,
            lw=0.8,
        )
    ax.set_xlabel("k (bins)")
    ax.set_ylabel("cosine with the full gradient")
    ax.legend(loc="lower right")
    ax.set_title("windows of k: direction", loc="left")


def _logarithmic(ax, x: np.ndarray) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(x, x)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()
