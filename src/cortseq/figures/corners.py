"""What inputs explain, what history explains, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.products import Facts, Products
from cortseq.scoring.corners import WHAT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "inputs": style.ORANGE,
    "history": style.BLUE,
    "both": style.BLACK,
    "inputs given history": style.ORANGE,
    "history given inputs": style.BLUE,
    "shared": style.GREY,
}


def draw(corners: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the gains of the four corners over the null, and what inputs and history add to each other.

    `corners`: rows of corners.csv of one recording. Dots and 95 % intervals.
    """
    rows = corners.set_index("what").reindex([what for what in WHAT if what in set(corners["what"])])
    with style.style():
        fig, axes = style.figure(1, 1, 0.75 * style.PAGE, 2.1)
        ax = axes[0, 0]
        if rows.empty:
            style.say(ax, "no model with inputs and one without, with history and without")
            return fig, corners
        for y, (what, row) in enumerate(rows.iloc[::-1].iterrows()):
            colour = _COLOURS[str(what)]
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.5)
            ax.plot(row["value"], y, "o", color=colour, ms=4)
        ax.axvline(0, color="0.8", lw=0.7, zorder=0)
        ax.axhline(2.5, color="0.9", lw=0.7, zorder=0)
        ax.set_yticks(range(len(rows)), [WHAT[str(what)] for what in rows.index[::-1]])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlabel(f"explained ({rows['unit'].iloc[0]})")
    return fig, rows.reset_index()


def read(products: Products) -> dict[str, Any]:
    """Read the four corners of one recording."""
    corners = products.read("corners")
    return {"corners": corners[corners["dataset"] == products.dataset]}


def applies(facts: Facts) -> bool:
    """Whether the recording has inputs."""
    return facts.driven


FIGURE = base.Figure(
    title="Inputs and history",
    caption=(
        "What is explained by what the animal saw and did (inputs), and what by the past of the activity "
        "(history). Above the line: gains over the null of the best model with inputs alone, with history "
        "alone, and with both. Below it: what inputs add to a model that has history already, what history "
        "adds to one that has inputs, and what either would explain without the other (shared). Where "
        "history adds nothing, given inputs, there is no sign of recurrence beyond the drive. The past "
        "includes how long the trial has lasted, and so every event at a fixed time in it: inputs can add "
        "only what varies from trial to trial. History that adds something is not yet recurrence: it may be "
        "drift, units that were lost, or behaviour that was not recorded. Each corner is "
        "held by the model that is best on validation; bars: 95 % intervals."
    ),
    needs=("corners",),
    applies=applies,
    read=read,
    draw=draw,
    place=15,
)
