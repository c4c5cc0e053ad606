"""Networks and chains against order: exact entropies, held-out bits, parameters, and how far states move."""

from __future__ import annotations

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.figures.theory.drawing import Drawn


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Lines: exact entropies and bounds. Markers: fitted models on held-out sequences. A fifth panel for a recording."""
    drawn = Drawn()
    recorded = "recorded_markov" in found
    with style.style():
        fig, axes = style.figure(2, 3, style.PAGE, 4.6)
        _even(axes[0, 0], found, drawn)
        _copy(axes[0, 1], found, drawn)
        _parameters(axes[0, 2], found, drawn)
        _few(axes[1, 0], found, drawn)
        _steps(axes[1, 1], found, drawn)
        if recorded:
            _recorded(axes[1, 2], found, drawn)
        else:
            axes[1, 2].set_visible(False)
    return fig, drawn.table


def _even(ax, found: xr.Dataset, drawn: Drawn) -> None:
    order = found["order"].values
    drawn.line(ax, "even process", "exact h_k", order, found["even_exact"], color=style.BLACK)
    drawn.line(
        ax,
        "even process",
        "entropy rate",
        [order[0], order[-1]],
        [found["even_rate"]] * 2,
        color=style.GREY,
        ls="--",
    )
    drawn.points(ax, "even process", "Markov", order, found["even_markov"], color=style.RED)
    drawn.points(
        ax,
        "even process",
        "context tree",
        order,
        found["even_tree"],
        color=style.ORANGE,
        fmt="^",
        mfc="none",
        ms=5,
    )
    drawn.points(
        ax,
        "even process",
        "LSTM, last k",
        found["remembered"],
        found["even_recalled"],
        color=style.SKY,
        fmt="D",
        ms=2.5,
    )
    drawn.points(
        ax, "even process", "LSTM", [order[-1] + 1], [found["even_network"]], color=style.BLUE, fmt="s"
    )
    ax.set_xlabel("order k (symbols)")
    ax.set_ylabel("bits/symbol")
    ax.legend(fontsize=6)
    ax.set_title("even process", loc="left")


def _copy(ax, found: xr.Dataset, drawn: Drawn) -> None:
    order = found["copy_order"].values
    drawn.line(ax, "lag copy", "exact h_k", order, found["copy_exact"], color=style.BLACK)
    drawn.points(ax, "lag copy", "Markov", order, found["copy_markov"], color=style.RED)
    ax.set_xlabel("order k (symbols)")
    ax.set_ylabel("bits/symbol")
    ax.legend()
    ax.set_title(f"copy from lag {found.attrs['lag']}", loc="left")


def _parameters(ax, found: xr.Dataset, drawn: Drawn) -> None:
    order = found["copy_order"].values
    series = "m^k (m - 1)"
    drawn.line(ax, "parameters", series, order, found["copy_parameters"], color=style.BLACK)
    visited = found["copy_contexts"] * (found.attrs["symbols"] - 1)
    drawn.points(ax, "parameters", "of contexts seen", order, visited, color=style.RED)
    ax.axhline(found.attrs["n_learned"], color=style.GREY, lw=0.8, ls=":")
    ax.text(order[0], found.attrs["n_learned"] * 1.15, "symbols learned from", color=style.GREY, fontsize=6.5)
    ax.set_yscale("log")
    ax.set_ylim(top=found.attrs["n_learned"] * 5)
    ax.set_xlabel("order k (symbols)")
    ax.set_ylabel("free parameters")
    ax.legend(loc="lower right", fontsize=6)
    ax.set_title(f"{found.attrs['symbols']} symbols", loc="left")


def _few(ax, found: xr.Dataset, drawn: Drawn) -> None:
    order = found["order"].values
    drawn.line(ax, "few symbols", "exact h_k", order, found["even_exact"], color=style.BLACK)
    for n, colour in zip(
        found["n_symbols"].values, (style.RED, style.ORANGE, style.GREEN, style.BLUE), strict=False
    ):
        one = found["few_markov"].sel(n_symbols=n)
        drawn.points(ax, "few symbols", f"from {n}", order, one, color=colour, fmt="o-", lw=0.7, ms=2.5)
        best = int(found["few_best"].sel(n_symbols=n))
        drawn.points(
            ax,
            "few symbols",
            f"best from {n}",
            [best],
            [one.sel(order=best)],
            color=colour,
            mfc="none",
            ms=7,
            label=None,
        )
    ax.set_xlabel("order k (symbols)")
    ax.set_ylabel("held-out bits/symbol")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.5 * (high - low))
    ax.legend(fontsize=6, loc="upper right", ncols=2)
    ax.set_title("from few symbols", loc="left")


def _steps(ax, found: xr.Dataset, drawn: Drawn) -> None:
    k = found["clusters"].values
    drawn.line(ax, "steps", "least centroid distance", k, found["spacing"], color=style.BLACK)
    drawn.points(ax, "steps", "jump of the chain", k, found["jump"], color=style.RED)
    for name, label, colour in (
        ("signal_step", "step of the signal", style.GREY),
        ("network_step", "step of the network", style.BLUE),
    ):
        drawn.line(
            ax, "steps", label, [k[0], k[-1]], [found[name]] * 2, kind="measured", color=colour, ls="--", lw=1
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(k, k)
    ax.minorticks_off()
    ax.set_ylim(top=ax.get_ylim()[1] * 6)
    ax.set_xlabel("clusters K")
    ax.set_ylabel("mean step (sd)")
    ax.legend(fontsize=6, loc="upper right")
    ax.set_title("jumps and steps", loc="left")


def _recorded(ax, found: xr.Dataset, drawn: Drawn) -> None:
    order = found["order"].values
    drawn.points(
        ax, "recording", "Markov", order, found["recorded_markov"], color=style.RED, fmt="o-", lw=0.7
    )
    drawn.points(
        ax,
        "recording",
        "context tree",
        order,
        found["recorded_tree"],
        color=style.ORANGE,
        fmt="^-",
        lw=0.7,
        mfc="none",
    )
    ax.set_xlabel("order k (symbols)")
    ax.set_ylabel("held-out bits/symbol")
    ax.legend()
    ax.set_title("recording", loc="left")
