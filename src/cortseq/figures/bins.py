"""One recording at several bin widths: scores in bits per second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq import entries
from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 8  # models that are drawn, the best ones


def draw(comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the gain of each model over the null per second against the bin width, a panel a recording.

    `comparison`: comparison.csv. Bars: 95 % intervals, scaled like the gain from events to seconds.
    """
    table, looks = (
        per_second(comparison),
        style.looks(zip(comparison["model"], comparison["role"], strict=True)),
    )
    with style.style():
        groups = list(table.groupby("recording", sort=False))
        if not groups:
            fig, axes = style.figure(1, 1, 0.6 * style.PAGE, 1.5)
            style.say(axes[0, 0], "only counts have bits per second")
            return fig, table
        columns = min(2, len(groups))
        rows = -(-len(groups) // columns)
        fig, axes = style.figure(rows, columns, style.PAGE if columns > 1 else 0.75 * style.PAGE, 2.6 * rows)
        for ax in axes.flat[len(groups) :]:
            ax.set_visible(False)
        for ax, (name, part) in zip(axes.flat, groups, strict=False):
            _panel(ax, part, looks)
            ax.set_title(str(name), loc="left")
    return fig, table


def per_second(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return recording, dataset, bin_ms, model, role, value, low and high in bits per second.

    `comparison`: comparison.csv; only counts have bits per second.
    """
    groups = entries.widths(dict.fromkeys(comparison["dataset"]))
    of = {dataset: name for name, datasets in groups.items() for dataset in datasets}
    kept = comparison["dataset"].isin(of) & comparison["value_per_s"].notna() & (comparison["role"] != "null")
    rows = comparison[kept]
    table = rows[["dataset", "bin_ms", "model", "role"]].copy()
    table.insert(0, "recording", rows["dataset"].map(of))
    scale = rows["value_per_s"] / rows["value"]
    for column in ("value", "low", "high"):
        table[column] = rows[column] * scale
    return table.sort_values(["recording", "model", "bin_ms"], kind="stable").reset_index(drop=True)


def _panel(ax: Axes, part: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    best = part.groupby("model")["value"].max().sort_values(ascending=False).index[:MOST]
    for i, model in enumerate(best):
        rows = part[part["model"] == model]
        error = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        colour, marker, dashes = looks[str(model)]
        at = rows["bin_ms"] * 1.02 ** (i - (len(best) - 1) / 2)  # side by side
        ax.errorbar(at, rows["value"], error, marker=marker, ls=dashes, ms=3, color=colour, lw=1, label=model)
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    ax.set_xscale("log")
    widths = sorted(part["bin_ms"].unique())
    ax.set_xticks(widths, [f"{w:g}" for w in widths])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("bin width (ms)")
    ax.set_ylabel("gain over the null (bits/s)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def read(products: Products) -> dict[str, Any]:
    """Scores of all recordings, without averages of members."""
    return {"comparison": base.without_averages(base.comparison(products))}


def applies(facts: Facts) -> bool:
    """Whether a recording is cut into bins of several widths."""
    return bool(facts.widths)


FIGURE = base.Figure(
    title="Bin widths",
    caption=(
        "How much the models predict of one recording that was cut into bins of several widths: the gain "
        "over the null in bits per second, which does not depend on how many bins there are (bits per spike "
        "of different widths are not comparable, nor are counts whose `observation` is not Poisson, as the "
        "null then differs too). Narrow bins hold more detail and more bins to remember; a ranking that "
        "depends on the width is about the width. Bars: 95 % intervals."
    ),
    needs=("comparison",),
    applies=applies,
    read=read,
    draw=draw,
    scope="study",
    place=35,
)
