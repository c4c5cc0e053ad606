"""What sessions that share a cell gain by it, and whether a cell serves a session that it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.products import Facts, Products
from cortseq.scoring.together import OTHERS, THESE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POOLED = {THESE: style.BLACK, OTHERS: style.GREY}


def draw(together: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the gain of every session, and of all of them: dots and 95 % intervals.

    `together`: together.csv, a panel for each variant and twin.
    """
    panels = list(together.groupby(["group", "variant", "over", "what"], sort=False))
    with style.style():
        height = 0.5 + sum(0.5 + 0.19 * len(rows) for _, rows in panels)
        fig, axes = style.figure(max(1, len(panels)), 1, 0.75 * style.PAGE, max(1.2, height))
        if not panels:
            style.say(axes[0, 0], "no model across sessions has a twin with a cell of its own")
            return fig, together
        for ax, ((_, variant, over, what), rows) in zip(axes.flat, panels, strict=True):
            _panel(ax, rows)
            ax.set_title(f"{what}\n({variant} over {over})", loc="left", fontsize=7.5)
            ax.sharex(axes[0, 0])
        axes[0, 0].get_gridspec().set_height_ratios([len(rows) + 0.5 for _, rows in panels])
        axes[-1, 0].set_xlim(*_limits(together))
        axes[-1, 0].set_xlabel(f"gain ({together['unit'].iloc[0]})")
    return fig, together


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    for y, row in enumerate(rows.iloc[::-1].to_dict("records")):
        colour = _POOLED.get(row["dataset"], style.BLUE)
        ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.5)
        ax.plot(row["value"], y, "o", color=colour, ms=4)
    ax.axvline(0, color="0.8", lw=0.7, zorder=0)
    ax.set_yticks(range(len(rows)), list(rows["dataset"].iloc[::-1]))
    ax.set_ylim(-0.6, len(rows) - 0.4)


def _limits(together: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold every session: an interval over two sessions may be far wider, and leaves."""
    rows = together[together["dataset"] != OTHERS]
    low, high = min(rows["low"].min(), 0.0), max(rows["high"].max(), 0.0)
    room = 0.25 * (high - low)
    return low - room, high + room


def read(products: Products) -> dict[str, Any]:
    """Read the table of the study."""
    return {"together": products.read("together")}


def applies(facts: Facts) -> bool:
    """Whether a model is fitted across sessions."""
    return bool(facts.shared)


FIGURE = base.Figure(
    title="Sessions that share a cell",
    caption=(
        "Held-out gain of a network whose cell was learned on all sessions over the same network with a cell "
        "of its own; each session has its own read-in, read-out and start state. Where a session was held "
        "out, the cell was learned on the others and only the rest on this one: above 0 against a cell that "
        "was never learned, the dynamics serve a recording that they never saw. Bars: 95 % intervals. "
        "Black: the mean over these very sessions; grey: over sessions like these, of which they are a "
        "sample, so that two or three of them leave much open and the bar may leave the axis."
    ),
    scope="study",
    needs=("together",),
    applies=applies,
    read=read,
    draw=draw,
    place=16,
)
