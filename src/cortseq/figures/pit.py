"""Goodness of fit: where in its predicted distribution each observation falls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 14  # models that are shown, the best ones
LIMIT = 1.358  # times n^(-1/2): distances that 5 % of n uniform numbers exceed (Kolmogorov)
ROLES = ("recurrent", "markov", "baseline", "null")
PANELS = (("ks", "distance from uniform"), ("dispersion", "residual variance / predicted"))


def draw(comparison: pd.DataFrame, quality: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the histogram of u of the best model of each role, and distances and dispersions of all models.

    `comparison`: rows of one recording. `quality`: `scoring.fit_quality.table` of all models and folds, with
    columns model and role. Lines: share of all u per bin, over the share under the right model. Dots: units.
    """
    order = [m for m in comparison.sort_values("value")["model"] if m in set(quality["model"])][-MOST:]
    mean = quality.groupby(["model", "role", "quantity", "feature"], sort=False)[["value", "n"]].mean()
    shown = mean.reset_index()
    shown = shown[shown["model"].isin(order)]
    with style.style():
        height = 1.0 + 0.15 * max(len(order), 9)
        fig, axes = style.figure(1, 3, style.PAGE, height, width_ratios=[1.1, 1, 1])
        _histograms(axes[0, 0], shown, order)
        for ax, (quantity, label) in zip(axes[0, 1:], PANELS, strict=True):
            _units(ax, shown[shown["quantity"] == quantity], order, label)
        axes[0, 1].set_yticks(range(len(order)), order)
        axes[0, 2].set_yticks(range(len(order)), [])
        n = shown.loc[shown["quantity"] == "ks", "n"].median()
        axes[0, 1].axvline(LIMIT / np.sqrt(n), color="black", lw=0.8, ls=":")
        axes[0, 2].axvline(1, color="black", lw=0.8, ls=":")
    return fig, shown


def _histograms(ax: Axes, shown: pd.DataFrame, order: list[str]) -> None:
    part = shown[shown["quantity"] == "pit"]
    for role in ROLES:
        of_role = [m for m in order if m in set(part.loc[part["role"] == role, "model"])]
        if not of_role:
            continue
        rows = part[part["model"] == of_role[-1]]
        share = rows.iloc[np.argsort(rows["feature"].astype(int))]["value"].to_numpy() * len(rows)
        ax.stairs(
            share,
            np.linspace(0, 1, len(rows) + 1),
            color=style.ROLE_COLOURS[role],
            label=of_role[-1],
            baseline=None,
        )
    ax.axhline(1, color="black", lw=0.8, ls=":", zorder=0)
    shown_shares = np.concatenate([step.get_data().values for step in ax.patches])  # type: ignore[attr-defined]
    reach = max(0.1, 1.15 * np.abs(shown_shares - 1).max())  # 1 in the middle, room for the legend above
    ax.set_ylim(1 - reach, 1 + 1.4 * reach)
    ax.set_xlabel("place in the predicted distribution")
    ax.set_ylabel("bins, relative to expected")
    ax.legend(loc="upper center", ncols=2, columnspacing=0.8, handlelength=1.2)


def _units(ax: Axes, part: pd.DataFrame, order: list[str], label: str) -> None:
    at = part["model"].map({model: i for i, model in enumerate(order)})
    colours = [style.ROLE_COLOURS[role] for role in part["role"]]
    ax.scatter(part["value"], at, s=7, c=colours, lw=0, alpha=0.7)
    ax.set_ylim(-0.7, len(order) - 0.3)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel(label)


def read(products: Products) -> dict[str, Any]:
    """Scores of one recording, and the goodness of fit of all folds."""
    rows = base.without_averages(base.comparison(products))
    tables = [products.read("quality", *key) for key in products.keys("quality")]
    return {"comparison": rows[rows["dataset"] == products.dataset], "quality": pd.concat(tables)}


def applies(facts: Facts) -> bool:
    """Whether bins have values in an order."""
    return not TRACKS[facts.track].has_labels


FIGURE = base.Figure(
    title="Goodness of fit",
    caption=(
        "Whether the distributions that models predict have the right shape. A likelihood says which model "
        "is better, not whether any is right. Left: where test observations fall in the distribution "
        "predicted for their bin, for the best model of each kind; flat at 1 (dotted) if the distribution is "
        "right, high at both ends if observations vary more than predicted, high in the middle if they vary "
        "less. Middle: the largest distance of each unit (dot) from flat; right of the dotted line a single "
        "unit is off by more than chance (5 %). Right: the variance of the residuals over the predicted "
        "variance, 1 if right. A model may predict best and still be off: where all models are, the "
        "distribution that the study gives to a bin (`observation`) is the first thing to change."
    ),
    needs=("comparison", "quality"),
    applies=applies,
    read=read,
    draw=draw,
    place=135,
    printed=False,
)
