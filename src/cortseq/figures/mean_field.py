"""Fitted recurrent weights beside their shuffled controls and the mean-field theory of random networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.products import Facts, Products
from cortseq.theory.random_networks import mean_field_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(
    dissections: dict[str, xr.Dataset], looks: dict[str, style.Look] | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw the chaos of fitted weights beside that of weights without structure.

    `dissections`: variant -> product of `dynamics`, of tanh networks. Largest exponent of h' = tanh(W h)
    against the gain of W: fitted (filled), its entries in permuted places (open: mean, bar: range of five),
    theory for infinitely many units (line).
    """
    from matplotlib.lines import Line2D

    with style.style():
        fig, axes = style.figure(1, 1, style.COLUMN, 3.4)
        ax = axes[0, 0]
        if not dissections:  # the variants chosen on validation are all of other cells
            style.say(ax, "no network of tanh units was chosen")
            return fig, pd.DataFrame(columns=["variant", "gain", "fitted"])
        tables, marks, looks = [], [], looks or style.looks((name, "recurrent") for name in dissections)
        for name, one in dissections.items():
            colour, marker, _ = looks[name]
            tables.append(_table(one).assign(variant=name))
            rows = tables[-1]
            middle = rows["shuffled"]
            bars = [middle - rows["shuffled_low"], rows["shuffled_high"] - middle]
            ax.errorbar(
                rows["gain"], middle, bars, fmt=marker, ms=3.5, mfc="white", mec=colour, color=colour, lw=0.8
            )
            ax.plot(rows["gain"], rows["fitted"], marker, ms=4, color=colour)
            marks.append(
                Line2D([], [], marker=marker, ls="none", ms=4, color=colour, label=style.wrapped(name))
            )
        table, shuffles = pd.concat(tables, ignore_index=True), one["shuffled_exponent"].shape[1]
        gains = np.linspace(0.9 * table["gain"].min(), 1.1 * table["gain"].max(), 80)
        ax.plot(gains, [mean_field_map(g).lyapunov for g in gains], color="k", lw=0.9, zorder=0)
        ax.axhline(0, color="0.6", lw=0.7)
        ax.set_xlabel("gain · √N sd(W)")  # a radical of mathtext is lost where text stays text
        ax.set_ylabel("largest exponent (nats/step)")
        ax.set_title("map: h' = tanh(W h), weights alone", loc="left", fontsize=7.5)
        shuffled = f"shuffled W, mean and range of {shuffles}"
        kinds = [
            Line2D([], [], marker="o", ls="none", ms=4, color="0.3", label="fitted W"),
            Line2D([], [], marker="o", ls="none", ms=4, mfc="white", mec="0.3", label=shuffled),
            Line2D([], [], color="k", lw=0.9, label="mean field"),
        ]
        fig.legend(handles=[*marks, *kinds], loc="outside lower center", ncols=2)
    return fig, table


def _table(one: xr.Dataset) -> pd.DataFrame:
    shuffled = one["shuffled_exponent"].values
    return pd.DataFrame(
        {
            "member": np.arange(one.sizes["member"]),
            "gain": one["gain"].values,
            "fitted": one["weights_exponent"].values,
            "shuffled": shuffled.mean(1),
            "shuffled_low": shuffled.min(1),
            "shuffled_high": shuffled.max(1),
            "mean_field": one["mean_field_exponent"].values,
        }
    )


def read(products: Products) -> dict[str, Any]:
    """Networks of tanh units only."""
    return base.coloured(products, "gain")


def applies(facts: Facts) -> bool:
    """Whether some network has units of tanh."""
    return facts.saturating


FIGURE = base.Figure(
    title="Weights and mean-field theory",
    caption=(
        "Whether the fitted weights are more than random numbers of the right size. Largest Lyapunov "
        "exponent (above 0: chaos) of h' = tanh(W h) with the fitted recurrent weights W alone (no leak, "
        "bias or input), with the same entries shuffled, and of random networks with infinitely many "
        "units at the same gain (line). Bars span the exponents of several shuffles. Where fitted weights "
        "differ from their shuffled controls, their structure is the reason."
    ),
    needs=base.DISSECTED,
    applies=applies,
    read=read,
    draw=draw,
    place=260,
    printed=False,
)
