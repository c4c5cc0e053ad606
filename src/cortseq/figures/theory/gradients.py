"""Gradients against lag: random networks beside mean-field theory, driven ones, contracting ones, LSTMs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn, spread


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Lines: theory. Markers: networks, mean and 95 % interval over networks where there are several."""
    drawn = Drawn()
    with style.style():
        fig, axes = style.figure(1, 4, style.PAGE, 2.5)
        _products(axes[0, 0], found, drawn)
        _driven(axes[0, 1], found, drawn)
        _contracting(axes[0, 2], found, drawn)
        _horizons(axes[0, 3], found, drawn)
    return fig, drawn.table


def _products(ax, found: xr.Dataset, drawn: Drawn) -> None:
    lag = found["lag"].values
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        one, series = found.sel(gain=gain), f"g = {gain:g}"
        drawn.line(ax, "products", series, lag, one["norm_predicted"], color=colour)
        mean, low, high = (np.exp(v) for v in spread(np.log(one["norm"]), "network"))
        drawn.points(
            ax, "products", series, lag[::2], mean[::2], low[::2], high[::2], color=colour, ms=2.5, label=None
        )
    ax.set_yscale("log")
    ax.set_xlabel("lag k (steps)")
    ax.set_ylabel("|dh(t)/dh(t-k)| / √N")
    ax.set_ylim(bottom=ax.get_ylim()[0] / 300)
    ax.legend(loc="lower left", ncols=2, columnspacing=0.8)
    ax.set_title(f"tanh map, N = {found.attrs['units']}", loc="left")


def _driven(ax, found: xr.Dataset, drawn: Drawn) -> None:
    drawn.line(ax, "driven", "theory", found["noise_line"], found["driven_predicted"], color=style.BLACK)
    mean, low, high = spread(found["driven"], "network")
    drawn.points(
        ax, "driven", f"N = {found.attrs['units']}", found["noise"], mean, low, high, color=style.BLUE
    )
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    ax.set_xlabel("sd of the input")
    ax.set_ylabel("ln growth per step")
    ax.legend()
    ax.set_title(f"driven, radius {found.attrs['noise_gain']:g}", loc="left")


def _contracting(ax, found: xr.Dataset, drawn: Drawn) -> None:
    lag = found["lag"].values
    for sigma, colour in zip(found["sigma"].values, style.CYCLE, strict=False):
        one, series = found.sel(sigma=sigma), f"σ = {sigma:g}"
        drawn.line(
            ax, "contracting", series, lag, one["contracting_bound"], color=colour, label=f"bound, {series}"
        )
        drawn.points(
            ax, "contracting", series, lag[::2], one["contracting"][::2], color=colour, ms=2.5, label=None
        )
    ax.set_yscale("log")
    ax.set_xlabel("lag k (steps)")
    ax.set_ylabel("largest singular value")
    ax.set_ylim(bottom=ax.get_ylim()[0] / 1e4)
    ax.legend(loc="lower left")
    ax.set_title("contracting, σ < 1", loc="left")


def _horizons(ax, found: xr.Dataset, drawn: Drawn) -> None:
    drawn.line(ax, "horizon", "-1/ln σ(b)", found["bias_line"], found["horizon_predicted"], color=style.BLACK)
    looks = zip(found["path"].values, "osD", (style.GREY, style.BLUE, style.RED), strict=True)
    for path, marker, colour in looks:
        reach = found["horizon"].sel(path=path).where(np.isfinite)
        drawn.points(ax, "horizon", path, found["bias"], reach, fmt=marker, color=colour, mfc="none", ms=4)
    ax.set_yscale("log")
    ax.set_xlabel("forget bias b")
    ax.set_ylabel("horizon (steps)")
    ax.set_ylim(top=ax.get_ylim()[1] * 40)
    ax.legend(loc="upper left", fontsize=6)
    ax.set_title("LSTM", loc="left")
