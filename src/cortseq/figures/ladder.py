"""The ladder of baselines: score against what a predictor knows, one panel a recording."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Products
from cortseq.scoring.ladder import RUNGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the score of every model, rung by rung.

    `comparison`: comparison.csv. Dots: models, bars: 95 % intervals, rings: the mean prediction of the
    members; line: the exact filter of a synthetic recording. Models stand by rung, within a rung by score.
    """
    groups = list(comparison.groupby("dataset", sort=False))
    with style.style():
        columns = min(2, len(groups))
        rows = -(-len(groups) // columns)
        most = max(int((~part["averaged"].astype(bool)).sum()) for _, part in groups)
        width = style.PAGE if columns > 1 else 0.7 * style.PAGE
        fig, axes = style.figure(rows, columns, width, rows * (0.9 + 0.15 * most))
        for ax in axes.flat[len(groups) :]:
            ax.set_visible(False)
        for ax, (dataset, part) in zip(axes.flat, groups, strict=False):
            _panel(ax, part)
            ax.set_title(style.wrapped(str(dataset), style.TITLE), loc="left")
    shown = ["dataset", "model", "variant", "role", "rung", "averaged", "value", "low", "high", "ceiling"]
    return fig, comparison[shown]


def _panel(ax: Axes, part: pd.DataFrame) -> None:
    order = {rung: i for i, rung in enumerate(RUNGS)}
    averaged = part["averaged"].astype(bool)
    models = part[~averaged].assign(place=part["rung"].map(order)).sort_values(["place", "value"])
    means = part[averaged].set_index("model")["value"]
    for y, row in enumerate(models.to_dict("records")):
        colour = style.ROLE_COLOURS[row["role"]]
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.2)
        ax.plot(row["value"], y, "o", color=colour, ms=3)
        if f"{row['model']}_averaged" in means:
            ax.plot(means[f"{row['model']}_averaged"], y, "o", mfc="none", color=colour, ms=5, mew=0.7)
    _rungs(ax, models["rung"].tolist())
    ceiling = part["ceiling"].iloc[0]
    if np.isfinite(ceiling):
        ax.axvline(ceiling, color="black", lw=0.9, zorder=0, label=f"exact filter {ceiling:.2f}")
        ax.legend(loc="upper left")
    ax.axvline(0, color="0.8", lw=0.7, zorder=0)
    ax.set_yticks(range(len(models)), models["model"], fontsize=6.5)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=5)  # labels of more would touch in a narrow panel
    ax.set_xlabel(f"gain over the null ({METRICS[part['metric'].iloc[0]].label})")


def _rungs(ax: Axes, rungs: list[str]) -> None:
    """Names of the rungs at the right edge, lines between them."""
    edges = [0, *(i for i in range(1, len(rungs)) if rungs[i] != rungs[i - 1]), len(rungs)]
    for low, high in pairwise(edges):
        at = ax.get_yaxis_transform()
        ax.text(1.02, (low + high - 1) / 2, rungs[low], va="center", fontsize=6.5, color="0.4", transform=at)
        if low:
            ax.axhline(low - 0.5, color="0.88", lw=0.6, zorder=0)
    ax.set_ylim(-0.7, len(rungs) - 0.3)


def read(products: Products) -> dict[str, Any]:
    """Averaged members too: a ring in the row of their model."""
    return {"comparison": base.comparison(products)}


FIGURE = base.Figure(
    title="The ladder of baselines",
    caption=(
        "How well each model predicts held-out trials, sorted by what it may know of the past. Look for "
        "the lowest rung that reaches the networks: nothing above it is needed to explain their score. "
        "Points: gain over the null (training mean), mean over random restarts; bars: 95 % intervals; "
        "rings: the mean prediction of all restarts; black line, in synthetic recordings: the "
        "exact filter. Rungs: L0 the null; L0' floors, such as the PSTH (mean response at each time in "
        "the trial), a slow drift, the mean of the last bins or inputs alone; L1 Markov chains of order "
        "1, L2 of an order that validation chose; L3 hidden Markov models; L3' linear and switching "
        "state-space models; L4 networks that see only the chain's discrete states; L5 regressions on the "
        "recent past; L6 recurrent networks that see only the last bins; L6' transformers, which see "
        "only the last bins, but each of them directly; L7 recurrent networks that see the whole past."
    ),
    needs=("comparison",),
    read=read,
    draw=draw,
    scope="study",
    place=10,
)
