"""Memory gain of recurrent networks: what the past beyond the last k bins is worth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cortseq.figures import style


def draw(table: pd.DataFrame, metric: str) -> tuple[Figure, pd.DataFrame]:
    """`table`: model, memory (bins k), value, low, high, kind. Lines: the same network restarted k bins before each
    prediction; diamonds: networks trained on windows of k bins. Bars: 95 % intervals."""
    models = list(dict.fromkeys(table["model"]))
    colours = dict(zip(models, style.CYCLE * 3, strict=False))
    with style.style():
        fig, axes = style.figure(1, 2, style.PAGE, 3.0)
        for ax, kind, text in (
            (axes[0, 0], "re-run", "re-run: restarted k {} before"),
            (axes[0, 1], "re-trained", "re-trained on windows of k {}"),
        ):
            unit = style.steps(metric)
            _panel(ax, table[table["kind"] == kind], colours, text.format(unit))
            ax.set_xlabel(f"k ({unit})")
        axes[0, 0].set_ylabel(f"gain of the whole past ({style.UNITS[metric]})")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=5)
    return fig, table


def _panel(ax, rows: pd.DataFrame, colours: dict, title: str) -> None:
    ax.set_title(title, loc="left")
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    if rows.empty:
        style.say(ax, "no variant of this study sets memory")
        return
    for model, line in rows.groupby("model", sort=False):
        line = line.sort_values("memory")
        bars = [line["value"] - line["low"], line["high"] - line["value"]]
        ax.errorbar(
            line["memory"],
            line["value"],
            bars,
            fmt="o-",
            ms=3,
            color=colours[model],
            elinewidth=0.6,
            label=model,
        )
    ax.set_xscale("log")
    ticks = sorted(rows["memory"].unique())
    ax.set_xticks(ticks, ticks)
    ax.minorticks_off()
