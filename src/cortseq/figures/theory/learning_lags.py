"""Learning a long lag: error, and the gradient across the lag before and after learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn

LOOKS = dict(zip(range(5), zip("osDs^", (style.BLACK, style.SKY, style.BLUE, style.ORANGE, style.RED))))


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Markers: means over restarts, dots: single restarts; lines in the middle: direct paths at the start, theory."""
    drawn = Drawn()
    with style.style():
        fig, axes = style.figure(1, 3, style.PAGE, 2.9)
        _errors(axes[0, 0], found, drawn)
        _norms(axes[0, 1], found, drawn, "norm_before", "before learning")
        _norms(axes[0, 2], found, drawn, "norm_after", "after learning")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig, drawn.table


def _errors(ax, found: xr.Dataset, drawn: Drawn) -> None:
    lag = found["lag"].values
    drawn.line(ax, "error", "chance", [lag[0], lag[-1]], [0.5, 0.5], color=style.GREY, ls="--", lw=0.8)
    for i, name in enumerate(found["network"].values):
        marker, colour = LOOKS[i]
        one = found["error"].isel(network=i)
        _restarts(ax, drawn, "error", name, lag, one, colour)
        look = {"fmt": f"{marker}-", "color": colour, "lw": 0.8, "ms": 4}
        drawn.points(ax, "error", name, lag, one.mean("member"), **look)
    ax.set_xscale("log")
    ax.set_xticks(lag, lag)
    ax.minorticks_off()
    ax.set_ylim(-0.03, 0.6)
    ax.set_xlabel("lag (symbols)")
    ax.set_ylabel("error on the last symbol")
    ax.set_title("learning", loc="left")


def _restarts(ax, drawn: Drawn, panel: str, name: str, x, values: xr.DataArray, colour: str) -> None:
    for member in range(values.sizes["member"]):
        y = values.isel(member=member)
        drawn.cloud(ax, panel, f"{name}, restart {member}", x, y, color=colour, label=None, ms=2.5)


def _norms(ax, found: xr.Dataset, drawn: Drawn, variable: str, title: str) -> None:
    seen: set = set()
    for i, name in enumerate(found["network"].values):
        marker, colour = LOOKS[i]
        one = found.isel(network=i)
        horizon = round(float(one["horizon_predicted"]), 6)
        if variable == "norm_before" and horizon not in seen:
            drawn.line(ax, variable, name, found["line"], one["norm_predicted"], color=colour, lw=0.8)
            seen.add(horizon)
        x = found["lag"].values - 1.0
        _restarts(ax, drawn, variable, name, x, one[variable], colour)
        mean = np.exp(np.log(one[variable].values).mean(-1))
        drawn.points(ax, variable, name, x, mean, fmt=marker, color=colour, mfc="none")
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-12))
    ax.set_xlabel("lag k (steps)")
    ax.set_ylabel("|dh(t)/dh(t-k)|")
    ax.set_title(title, loc="left")
