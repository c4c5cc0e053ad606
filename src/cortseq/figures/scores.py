"""Held-out score of every model, with intervals, one panel a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """`comparison`: comparison.csv. Points: means over members, bars: 95 % intervals, dots: best members."""
    with style.style():
        groups = list(comparison.groupby("dataset", sort=False))
        longest = max(len(rows) for _, rows in groups)
        columns = min(2, len(groups))
        rows_ = -(-len(groups) // columns)
        width = style.PAGE if columns > 1 else 0.7 * style.PAGE
        fig, axes = style.figure(rows_, columns, width, rows_ * (1.0 + 0.17 * max(longest, 6)))
        for ax in axes.flat[len(groups) :]:
            ax.set_visible(False)
        for ax, (dataset, rows) in zip(axes.flat, groups, strict=False):
            _panel(ax, str(dataset), rows)
        _legend(fig, comparison)
    return fig, comparison


def _panel(ax: Axes, dataset: str, rows: pd.DataFrame) -> None:
    rows = rows.sort_values("value", kind="stable").reset_index(drop=True)
    unit = METRICS[rows["metric"].iloc[0]].label
    for y, row in enumerate(rows.to_dict("records")):
        colour = style.ROLE_COLOURS[row["role"]]
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.2, solid_capstyle="butt")
        ax.plot([row["low"], row["high"]], [y, y], "|", color=colour, ms=7, mew=1)  # seen beside the dot
        ax.plot(row["value"], y, "o", color=colour, ms=2.5)
    ax.set_yticks(range(len(rows)), rows["variant"])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.axvline(0, color="0.8", lw=0.7, zorder=0)
    for column, line, text in (("ceiling", "-", "exact filter"), ("true_rates", ":", "true rates")):
        value = rows[column].iloc[0]
        if np.isfinite(value):
            ax.axvline(value, color="black", ls=line, lw=0.9, label=f"{text} {value:.2f}", zorder=0)
    if rows[["ceiling", "true_rates"]].iloc[0].notna().any():
        ax.legend(loc="lower left", bbox_to_anchor=(0.25, 0.02))
    ax.margins(x=0.08)  # lines of what is attainable do not lie on the frame
    ax.set_xlabel(f"gain over the null ({unit})")
    per_second = (rows["value_per_s"] / rows["value"]).replace([np.inf, -np.inf], np.nan).dropna()
    # room above the upper axis, in points
    title = style.wrapped(f"{dataset}: {rows['trials'].iloc[0]} test trials", style.TITLE)
    ax.set_title(title, loc="left", pad=30 if len(per_second) else 6)
    if len(per_second):
        scale = float(per_second.iloc[-1])
        twin = ax.secondary_xaxis("top", functions=(lambda v: v * scale, lambda v: v / scale))  # type: ignore[operator]
        twin.set_xlabel("bits/s")


def _legend(fig: Figure, comparison: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    roles = [r for r in style.ROLE_COLOURS if r in set(comparison["role"])]
    handles = [Line2D([], [], marker="o", color=style.ROLE_COLOURS[r], lw=1.2, ms=3) for r in roles]
    fig.legend(
        handles, [{"markov": "Markov chain"}.get(r, r) for r in roles], loc="outside lower center", ncols=4
    )


def read(products: Products) -> dict[str, Any]:
    """Read the comparison without rows of averaged members."""
    return {"comparison": base.without_averages(base.comparison(products))}


FIGURE = base.Figure(
    title="Held-out score by model",
    caption=(
        "How well each model predicts the bins of test trials, which it never saw, as a gain over the "
        "null (training mean). Points further to the right are better; models whose bars lie apart differ "
        "beyond the chance of trials and random restarts, but bars that overlap say "
        "nothing: differences are paired by trial, and stand in the table. Points: mean over restarts; "
        "bars: 95 % intervals; black lines: what is attainable, where the recording is synthetic."
    ),
    needs=("comparison",),
    read=read,
    draw=draw,
    scope="study",
    place=20,
)
