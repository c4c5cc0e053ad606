"""What is left of earlier sessions: the forgetting matrix of every variant that learns one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(tables: dict[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """Draw what is kept of earlier sessions.

    `tables`: variant -> `scoring.forgetting.table`. Left: score on the test trials of each session (column)
    after learning each (row, from above). Right: change of a session's score since it was learned; bars 95 %
    intervals.
    """
    with style.style():
        fig, axes = style.figure(len(tables), 2, style.PAGE, 0.4 + 2.5 * len(tables))
        for (left, right), (name, table) in zip(axes, tables.items(), strict=True):
            unit = METRICS[table["metric"].iloc[0]].label
            _matrix(fig, left, name, table[table["quantity"] == "score"], unit)
            _changes(right, table, unit)
    return fig, pd.concat([t.assign(variant=name) for name, t in tables.items()], ignore_index=True)


def _matrix(fig: Figure, ax: Axes, name: str, scores: pd.DataFrame, unit: str) -> None:
    sessions = list(scores["learned"].drop_duplicates())
    square = scores["value"].to_numpy().reshape(len(sessions), -1)
    image = ax.imshow(square, cmap="viridis")
    fig.colorbar(image, ax=ax, shrink=0.8, label=f"gain over the null ({unit})")
    middle = (square.min() + square.max()) / 2
    half = ((scores["high"] - scores["low"]) / 2).to_numpy().reshape(square.shape)
    for (i, j), value in np.ndenumerate(square):
        colour = "w" if value < middle else "k"
        text = f"{value:+.3f}\n± {half[i, j]:.3f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
    labels = [style.wrapped(s, 12) for s in sessions]
    ax.set_xticks(range(len(sessions)), labels)
    ax.set_yticks(range(len(sessions)), labels)
    ax.tick_params(length=0)
    ax.set_xlabel("tested on")
    ax.set_ylabel("after learning")
    ax.set_title(style.wrapped(name, 30), loc="left")


def _changes(ax: Axes, table: pd.DataFrame, unit: str) -> None:
    stages = list(table.loc[table["quantity"] == "score", "learned"].drop_duplicates())
    changes = table[table["quantity"] == "change"]
    for k, (session, line) in enumerate(changes.groupby("tested", sort=False)):
        # a little to the side, or bars of several sessions would hide one another
        x = np.array([stages.index(s) for s in line["learned"]]) + 0.06 * k
        colour, value = style.CYCLE[k % len(style.CYCLE)], line["value"].to_numpy()
        bars = [value - line["low"].to_numpy(), line["high"].to_numpy() - value]
        ax.plot([stages.index(session) + 0.06 * k, x[0]], [0, value[0]], color=colour)
        ax.errorbar(x, value, bars, fmt="o-", ms=3, color=colour, elinewidth=0.8, label=session)
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    ax.set_xticks(range(len(stages)), [style.wrapped(s, 12) for s in stages])
    ax.set_xlim(-0.3, len(stages) - 0.6)
    ax.set_xlabel("after learning")
    ax.set_ylabel(f"change since learned ({unit})")
    ax.legend(title="tested on", title_fontsize=7)
    summary = table.set_index("quantity").loc[["ACC", "BWT"]]
    said = [f"{q} {r['value']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" for q, r in summary.iterrows()]
    ax.set_title("\n".join(said), loc="left", fontsize=7.5)


def read(products: Products) -> dict[str, Any]:
    """Variants that learned sessions one after another, in the order of the study."""
    return {"tables": dict(products.each("forgetting"))}


def applies(facts: Facts) -> bool:
    """Whether some network carries what it learned from session to session."""
    return bool(facts.carried)


FIGURE = base.Figure(
    title="Sessions learned one after another",
    caption=(
        "What a network keeps of earlier sessions while it learns later ones. Left: score on the test "
        "trials of each session (columns) after each stage of learning (rows, from the top), as a gain "
        "over that session's null, ± half the 95 % interval over trials and random restarts. Entries "
        "below the diagonal belong to sessions learned earlier, entries above it to sessions not yet "
        "seen. Right: change of a session's score since it was learned; a curve below 0 means that the "
        "session is being forgotten. ACC: mean of the last row. BWT (backward transfer): mean change of "
        "the earlier sessions."
    ),
    needs=("forgetting",),
    applies=applies,
    read=read,
    draw=draw,
    scope="study",
    place=40,
)
