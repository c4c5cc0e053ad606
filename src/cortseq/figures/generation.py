"""Statistics of free-running simulation against those of recorded trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.products import Facts, Products
from cortseq.scoring.generation import STATISTICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST = {"correlation": 1.0}  # of a measure; 0 of the others
_WORDS = {
    "correlation": "correlation (1 is best)",
    "error": "rms error / rms recorded\n(0 is best)",
    "octaves": "error in octaves (0 is best)",
    "divergence": "divergence (nats; 0 is best)",
    "Hellinger distance": "Hellinger distance\n(0 best, 1 worst)",
}
_FAR = 20.0  # times the typical error, beyond which an axis is logarithmic for the others to be told apart


def draw(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw how close free runs of every model come to the recording.

    `table`: `scoring.generation.compare` of every model, with columns model and role. Dots: members; black
    line: two halves of the recording, which a perfect model reaches.
    """
    table = table.reset_index(drop=True)
    with style.style():
        if table["value"].notna().sum() == 0:
            fig, axes = style.figure(1, 1, 0.6 * style.PAGE, 1.5)
            style.say(axes[0, 0], "nothing of this recording can be generated freely")
            return fig, table
        panels = list(table.dropna(subset="value").groupby(["statistic", "measure"], sort=False))
        models = list(dict.fromkeys(table["model"]))
        columns = min(4, len(panels))
        rows = -(-len(panels) // columns)
        fig, axes = style.figure(
            rows, columns, style.PAGE, rows * (0.6 + 0.105 * max(len(models), 6)), sharey=True
        )
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax, ((statistic, measure), part) in zip(axes.flat, panels, strict=False):
            _panel(ax, part, models, str(measure))
            ax.set_title(str(statistic), loc="left")
        axes[0, 0].set_yticks(range(len(models)), models)
        axes[0, 0].invert_yaxis()
    return fig, table


def _panel(ax: Axes, part: pd.DataFrame, models: list[str], measure: str) -> None:
    at = part["model"].map({model: i for i, model in enumerate(models)})
    colours = [style.ROLE_COLOURS[role] for role in part["role"]]
    ax.scatter(part["value"], at, s=9, c=colours, lw=0, alpha=0.8)
    ruler = float(part["ruler"].mean())
    ax.axvline(ruler, color="black", lw=0.9, zorder=0)
    low, high = min(part["value"].min(), ruler), max(part["value"].max(), ruler)
    if measure in BEST:
        low, high = max(low, -1.0), BEST[measure]
    else:
        low = 0.0
    room = 0.06 * (high - low) if np.isfinite(high - low) and high > low else 0.1
    typical = max(ruler, float(part["value"].median()))
    if measure not in BEST and np.isfinite(high) and high > _FAR * typical > 0:
        ax.set_xscale("symlog", linthresh=typical)
        first, last = int(np.ceil(np.log10(typical))), int(np.floor(np.log10(high)))
        powers = range(first, last + 1, max(1, (last - first + 2) // 3))
        ax.set_xticks([0, *(10.0**power for power in powers)], ["0", *(f"$10^{{{p}}}$" for p in powers)])
        ax.set_xticks([], minor=True)
        room = 0.06 * typical
        high *= 2.0
    ax.set_xlim(low - room, high + room)
    ax.set_xlabel(_WORDS.get(measure, f"{measure} (0 is best)"))


def read(products: Products) -> dict[str, Any]:
    """Tables of the first fold, model by model."""
    tables = {model: folds[0] for model, folds in products.folds("generation").items()}
    return {"table": pd.concat([table.assign(model=model) for model, table in tables.items()])}


def applies(facts: Facts) -> bool:
    """Whether the study asks for generation."""
    return bool(facts.tasks.get("generation"))


_EXPLAINED = {
    "error": (
        "Errors: root mean square of the difference over that of the recording (1: as wrong as predicting 0; "
        "no unit). "
    ),
    "octaves": (
        "Octaves: root mean square of the logarithm to base 2 of the ratio (1: off by a factor of 2). "
    ),
    "total variation": (
        "Total variation: share of the labels, pairs, triples or runs that would have to change. "
    ),
    "divergence": (
        "Divergence: how differently often the same values are visited, whatever their order "
        "(Kullback-Leibler, over cells or smoothed states). "
    ),
    "Hellinger distance": (
        "Hellinger distance: how much the shares of power at each frequency differ, mean over channels. "
    ),
}


def _caption(facts: Facts) -> str:
    measures = {name for _, names in STATISTICS[facts.track].values() for name in names}
    return (
        "Whether a model left to itself produces data like the recording. Each panel compares one "
        "statistic of simulated and recorded test trials; each dot is a random restart. The black line is "
        "one half of the recorded trials against the other, which a perfect model reaches. "
        f"{''.join(text for name, text in _EXPLAINED.items() if name in measures)}"
        "Where a model is far off, the axis is logarithmic beyond the typical error: simulations of that "
        "model run away."
    )


FIGURE = base.Figure(
    title="Free-running simulation",
    caption=_caption,
    needs=("generation",),
    applies=applies,
    read=read,
    draw=draw,
    place=160,
)
