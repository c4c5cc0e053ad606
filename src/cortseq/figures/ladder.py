"""The ladder of baselines: score against what a predictor knows, one panel a recording."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.scoring.ladder import RUNGS


def draw(comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """`comparison`: comparison.csv. Dots: models, bars 95 % intervals; line: the exact filter of a synthetic recording."""
    groups = list(comparison.groupby("dataset", sort=False))
    with style.style():
        columns = min(2, len(groups))
        rows = -(-len(groups) // columns)
        width = style.PAGE if columns > 1 else 0.7 * style.PAGE
        fig, axes = style.figure(rows, columns, width, 2.7 * rows)
        for ax in axes.flat[len(groups) :]:
            ax.set_visible(False)
        for ax, (dataset, part) in zip(axes.flat, groups, strict=False):
            _panel(ax, part)
            ax.set_title(str(dataset), loc="left")
    return fig, comparison[["dataset", "model", "variant", "role", "rung", "value", "low", "high", "ceiling"]]


def _panel(ax, part: pd.DataFrame) -> None:
    found = [r for r in RUNGS if r in set(part["rung"])]
    for x, rung in enumerate(found):
        mine = part[part["rung"] == rung].sort_values("value")
        shift = (np.arange(len(mine)) - (len(mine) - 1) / 2) * min(0.7 / max(len(mine), 1), 0.18)
        for dx, row in zip(shift, mine.to_dict("records"), strict=True):
            colour = style.ROLE_COLOURS[row["role"]]
            ax.plot([x + dx] * 2, [row["low"], row["high"]], color=colour, lw=1.2)
            ax.plot(x + dx, row["value"], "o", color=colour, ms=3.5)
        best = mine.iloc[-1]
        ax.annotate(
            style.wrapped(best["model"], 12), (x + shift[-1], best["high"]), (0, 3), textcoords="offset points",
            ha="center", fontsize=6, color="0.3",
        )  # fmt: skip
    ceiling = part["ceiling"].iloc[0]
    if np.isfinite(ceiling):
        ax.axhline(ceiling, color="black", lw=0.9, zorder=0, label=f"exact filter {ceiling:.2f}")
        ax.legend(loc="lower right")
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    ax.margins(y=0.14)
    ax.set_xticks(range(len(found)), found)
    ax.set_xlim(-0.6, len(found) - 0.4)
    ax.set_ylabel(f"gain over the null ({style.UNITS[part['metric'].iloc[0]]})")
