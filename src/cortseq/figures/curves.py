"""Training curves of every recurrent model of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(curves: dict[str, pd.DataFrame], event: str) -> tuple[Figure, pd.DataFrame]:
    """Draw the loss of every fit against the epoch.

    `curves`: variant -> table of a fit's curves (empty ones are left out); `event`: what losses are per.
    Thin lines: training (with dropout); thick: validation; dots: the weights kept.
    """
    trained = {name: table for name, table in curves.items() if len(table)}
    with style.style():
        columns = min(4, max(1, len(trained)))
        rows = max(1, -(-len(trained) // columns))
        fig, axes = style.figure(rows, columns, style.PAGE, 0.5 + 1.6 * rows, sharey=True)
        for ax in axes.flat[len(trained) :]:
            ax.set_visible(False)
        if not trained:
            axes.flat[0].set_visible(True)
            style.say(axes.flat[0], "no model of this recording is trained by gradient descent")
        for ax, (name, table) in zip(axes.flat, trained.items(), strict=False):
            for member, rows_ in table.groupby("member"):
                colour = style.CYCLE[int(member) % len(style.CYCLE)]
                ax.plot(rows_["epoch"], rows_["train_loss"], color=colour, lw=0.6, alpha=0.6)
                ax.plot(rows_["epoch"], rows_["valid_loss"], color=colour)
                kept = rows_[rows_["best"]].tail(1)  # after its patience a member keeps nothing
                ax.plot(kept["epoch"], kept["valid_loss"], "o", color=colour, ms=3.5)
            ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)
            ax.set_xlabel("epoch")
        if trained:
            late = np.concatenate(
                [
                    t.loc[t["epoch"] > 3, ["train_loss", "valid_loss"]].to_numpy().ravel()
                    for t in trained.values()
                ]
            )
            late = late if len(late) else np.array([0.0, 1.0])
            low, high = np.nanmin(late), np.nanquantile(late, 0.95)
            axes.flat[0].set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
            for ax in axes[:, 0]:
                ax.set_ylabel(f"loss (nats/{event})")
            fig.suptitle(
                "thin: training, thick: validation, dot: weights kept; a colour a member",
                fontsize=7,
                color="0.4",
            )
    tables = [table.assign(variant=name) for name, table in trained.items()]
    return fig, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["variant"])


def read(products: Products) -> dict[str, Any]:
    """Of the first fold, in the order of the study."""
    metric = base.metric(base.comparison(products), products.dataset)
    return {"curves": dict(products.each("curves")), "event": METRICS[metric].event}


def applies(facts: Facts) -> bool:
    """Whether there is a network."""
    return bool(facts.recurrent)


FIGURE = base.Figure(
    title="Training",
    caption=(
        "Loss of every network and random restart against the epoch (one pass over the training trials). "
        "A validation curve (thick) that still falls at its end means that training stopped too early; "
        "one that rises while training (thin) falls means overfitting, which is why the weights at its "
        "minimum (dot) are kept. The training loss is measured while inputs or units are left out at random "
        "(dropout), the validation loss with all of them: training may lie above validation, the "
        "more is left out, the further. Losses are in nats (1 bit = 0.69 nats), before the score of the null "
        "is taken off."
    ),
    needs=("comparison", "curves"),
    applies=applies,
    read=read,
    draw=draw,
    place=120,
    printed=False,
)
