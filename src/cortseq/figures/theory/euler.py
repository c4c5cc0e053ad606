"""Euler's step of the rate equation: order, low-pass filter, false instability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn

COLOURS = (style.BLUE, style.ORANGE)


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Lines: theory. Markers: the leaky network."""
    drawn = Drawn()
    with style.style():
        fig, axes = style.figure(2, 3, style.PAGE, 4.2)
        _order(axes[0, 0], found, drawn)
        _impulse(axes[0, 1], found, drawn)
        _response(axes[0, 2], found, drawn)
        _growth(axes[1, 0], found, drawn)
        axes[1, 1].remove()
        axes[1, 2].remove()
        _orbits(fig.add_subplot(axes[1, 1].get_gridspec()[1, 1:]), found, drawn)
    return fig, drawn.table


def _order(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for i, rule in enumerate(found["rule"].values):
        one = found.sel(rule=rule)
        drawn.line(ax, "order", rule, found["step"], one["error_predicted"], color=COLOURS[i], label=None)
        label = f"{rule}, order {float(one['order']):.2f}"
        drawn.points(ax, "order", rule, found["step"], one["error"], color=COLOURS[i], label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=2.5 * float(found["error"].max()))
    ax.set_xticks(found["step"].values, [f"{step:g}" for step in found["step"].values])
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()
    ax.set_xlabel("dt (tau)")
    ax.set_ylabel("error |h - exact|")
    ax.legend(loc="upper left")
    ax.set_title("error at a fixed time", loc="left")


def _impulse(ax, found: xr.Dataset, drawn: Drawn) -> None:
    drawn.line(ax, "impulse", "exp(-t/tau)", found["time"], found["impulse_predicted"], color=style.BLACK)
    for i, rule in enumerate(found["rule"].values):
        drawn.points(
            ax,
            "impulse",
            rule,
            found["time"],
            found["impulse"].sel(rule=rule),
            color=COLOURS[i],
            ms=2 + i,
            mfc="none",
        )
    ax.set_xlabel("time (s)")
    ax.set_ylabel("h after a pulse")
    ax.legend()
    ax.set_title("impulse response", loc="left")


def _response(ax, found: xr.Dataset, drawn: Drawn) -> None:
    line = found["frequency_line"]
    drawn.line(ax, "response", "equation", line, found["response_predicted"] ** 2, color=style.BLACK)
    for i, rule in enumerate(found["rule"].values):
        drawn.line(
            ax,
            "response",
            rule,
            line,
            found["response_of_map"].sel(rule=rule) ** 2,
            color=COLOURS[i],
            label=None,
            lw=0.8,
        )
        power = found["response"].sel(rule=rule) ** 2
        drawn.points(ax, "response", rule, found["frequency"], power, color=COLOURS[i], ms=3 + i, mfc="none")
    half = 1 / (2 * np.pi * found.attrs["tau"])
    drawn.line(
        ax,
        "response",
        "half power at 1/(2π tau)",
        [half, half],
        [1e-3, 0.5],
        color=style.GREY,
        ls=":",
        label=None,
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("frequency (Hz)")
    ax.set_ylabel("power passed")
    ax.legend(loc="lower left")
    ax.set_title("low-pass filter", loc="left")


def _growth(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for i, rule in enumerate(found["rule"].values):
        one = found.sel(rule=rule)
        drawn.line(
            ax, "growth", rule, found["step_line"], one["growth_predicted"], color=COLOURS[i], label=None
        )
        drawn.points(ax, "growth", rule, found["mode_step"], one["growth"], color=COLOURS[i])
    ax.axhline(1, color="0.8", lw=0.7, zorder=0)
    ax.axvline(float(found["threshold_predicted"]), color=style.RED, lw=0.8, ls="--", zorder=0)
    ax.set_xlabel("dt (tau)")
    ax.set_ylabel("growth per step")
    ax.legend()
    ax.set_title("a damped mode", loc="left")


def _orbits(ax, found: xr.Dataset, drawn: Drawn) -> None:
    for run, colour in zip(found["run"].values, (style.BLACK, style.SKY, style.RED), strict=True):
        kind = "predicted" if run == "exact" else "measured"
        look = {
            "color": colour,
            "lw": 1.4 if run == "exact" else 0.9,
            "label": "equation" if run == "exact" else f"dt = {run}",
        }
        drawn.line(ax, "orbit", run, found["orbit_time"], found["orbit"].sel(run=run), kind=kind, **look)
    ax.set_xlabel("time (tau)")
    ax.set_ylabel("h of one unit")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
