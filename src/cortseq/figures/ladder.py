"""The ladder of baselines: score against what a predictor knows, one panel a recording."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cortseq.figures import style

RUNGS = ("L0", "L0'", "L1", "L2", "L3", "L4", "L5", "L6", "L7")
FAMILIES = {
    "null": "L0",
    "psth": "L0'",
    "flat": "L0'",
    "persistence": "L0'",
    "ctw": "L2",
    "hmm": "L3",
    "glm": "L5",
}


def draw(comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """`comparison`: comparison.csv, its column `rung` where there is one. Dots: models, bars 95 % intervals; line: the
    exact filter of a synthetic recording."""
    table = comparison.assign(rung=comparison["rung"] if "rung" in comparison else rungs(comparison))
    groups = list(table.groupby("dataset", sort=False))
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
    return fig, table[["dataset", "model", "variant", "role", "rung", "value", "low", "high", "ceiling"]]


def rungs(comparison: pd.DataFrame) -> pd.Series:
    """Rungs by family; a chain is L1 where its variant's order is 1."""
    order = comparison["variant"].str.extract(r"order(\d+)")[0]
    chain = np.where(order == "1", "L1", "L2")
    named = comparison["family"].map(FAMILIES)
    return named.where(named.notna(), np.where(comparison["role"] == "markov", chain, "L7"))


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
