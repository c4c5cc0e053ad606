"""What scores can be compared with on real data: the mean response of other trials, and its reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # models that are shown, the best ones
_FEATURES = {"bits_per_spike": "units", "bits_per_symbol": "symbols", "nats_per_sample": "channels"}


def draw(comparison: pd.DataFrame, ceilings: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the scores of the models beside the oracle, and the reliability of each unit.

    `comparison`: rows of one recording. `ceilings`: `scoring.ceilings.table` of all folds. Left: dots and
    95 % intervals of models, line and band: the oracle (mean over folds). Right: the reliability of each unit
    (mean over folds), sorted.
    """
    models = comparison[comparison["role"] != "null"].sort_values("value").tail(MOST)
    oracle = ceilings[ceilings["quantity"] == "oracle"][["value", "low", "high"]].mean()
    reliability = (
        ceilings[ceilings["quantity"] == "reliability"].groupby("feature")["value"].mean().sort_values()
    )
    with style.style():
        fig, axes = style.figure(1, 2, style.PAGE, 0.9 + 0.17 * max(len(models), 8), width_ratios=[1.5, 1])
        _scores(axes[0, 0], models, oracle, METRICS[comparison["metric"].iloc[0]].label)
        _reliabilities(axes[0, 1], reliability, _FEATURES[comparison["metric"].iloc[0]])
    shown = models[["model", "role", "value", "low", "high"]].rename(columns={"model": "what"})
    told = pd.DataFrame([{"what": "oracle", "role": "", **oracle}])
    units = pd.DataFrame({"what": reliability.index, "role": "reliability", "value": reliability.to_numpy()})
    return fig, pd.concat([shown, told, units], ignore_index=True)


def _scores(ax: Axes, models: pd.DataFrame, oracle: pd.Series, unit: str) -> None:
    for y, row in enumerate(models.to_dict("records")):
        colour = style.ROLE_COLOURS[row["role"]]
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.2)
        ax.plot(row["value"], y, "o", color=colour, ms=3)
    ax.axvspan(oracle["low"], oracle["high"], color=style.GREEN, alpha=0.15, lw=0, zorder=0)
    ax.axvline(
        oracle["value"], color=style.GREEN, lw=2.4, alpha=0.6, zorder=0, label="mean of all other trials"
    )
    ax.axvline(0, color="0.5", lw=0.7, zorder=1)  # seen even where the oracle is at 0
    ax.set_yticks(range(len(models)), models["model"])
    ax.set_ylim(-0.7, len(models) - 0.3)
    ax.set_xlabel(f"gain over the null ({unit})")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _reliabilities(ax: Axes, reliability: pd.Series, features: str) -> None:
    values = reliability.dropna().to_numpy()
    if not len(values):
        style.say(ax, "no mean response varies")
        return
    ax.plot(np.arange(1, len(values) + 1), values, "o", color=style.BLACK, ms=2.5)
    ax.set_ylim(-0.03, 1.03)
    style.whole_ticks(ax.xaxis)
    ax.set_xlabel(f"{features}, sorted")
    ax.set_ylabel("split-half reliability")


def read(products: Products) -> dict[str, Any]:
    """Scores of one recording, and the ceilings of all folds."""
    rows = base.without_averages(base.comparison(products))
    tables = [table for _, table in products.each("ceilings")]
    return {"comparison": rows[rows["dataset"] == products.dataset], "ceilings": pd.concat(tables)}


def applies(facts: Facts) -> bool:
    """Whether ceilings are made."""
    return bool(facts.tasks.get("ceilings"))


def _caption(facts: Facts) -> str:
    track = TRACKS[facts.track]
    feature = _FEATURES[track.metric]
    past = "the symbols before it in the same trial" if track.has_labels else "the activity of that trial"
    return (
        "A scale for the scores of a recording. Left: the models (dots; bars: 95 % intervals) and, in "
        "green, what a mean response made of all other trials of the same condition would score on the same "
        "test trials. It has seen the other test trials, so that it is a ceiling for any PSTH. A model to "
        f"the right of it has read something from {past}; a model to the left "
        "predicts less than the mean response. Right: how well the mean responses of two halves of the "
        f"trials agree, for each of the {feature} (1: the mean response is exact; 0: noise). Those "
        "near 0 have no response to the time in the trial or the condition that so few trials could show."
    )


FIGURE = base.Figure(
    title="What there is to be explained",
    caption=_caption,
    needs=("comparison", "ceilings"),
    applies=applies,
    read=read,
    draw=draw,
    place=25,
)
