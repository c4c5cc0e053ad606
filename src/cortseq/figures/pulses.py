"""What a pulse of each recorded input does to what a network expects, bin by bin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 6  # inputs that are drawn, those that move some network most


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw responses against the lag, a panel a network and a colour an input.

    `dissections`: variant -> product of `dynamics` with "pulse". Thick: mean over members; thin: each.
    """
    with style.style():
        columns = max(1, min(3, len(dissections)))
        rows = max(1, -(-len(dissections) // columns))
        fig, axes = style.figure(rows, columns, style.PAGE, 0.9 + 1.9 * rows, sharex=True)
        for ax in axes.flat[max(1, len(dissections)) :]:
            ax.set_visible(False)
        if not dissections:
            style.say(axes[0, 0], "no network sees the inputs")
            return fig, pd.DataFrame(columns=["variant", "input", "lag", "member", "response"])
        table = pd.concat([_table(name, one) for name, one in dissections.items()], ignore_index=True)
        strongest = table.groupby("input", sort=False)["response"].max().nlargest(_MOST).index.tolist()
        colours = {name: style.CYCLE[i % len(style.CYCLE)] for i, name in enumerate(strongest)}
        for ax, (name, lines) in zip(axes.flat, table.groupby("variant", sort=False), strict=False):
            _panel(ax, str(name), lines, colours)
        unit = "bins" if style.timed(next(iter(dissections.values()))) else "symbols"
        for ax in axes[:, 0]:
            ax.set_ylabel("response (rms spreads)")
        for ax in axes[-1]:
            ax.set_xlabel(f"{unit} after the pulse")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig, table


def _table(variant: str, one: xr.Dataset) -> pd.DataFrame:
    values = one["pulse"].values
    names = np.asarray(one.attrs["pulsed_inputs"], dtype=str)
    at = np.indices(values.shape).reshape(3, -1)
    columns = {"variant": variant, "input": names[at[1]], "lag": at[2], "member": at[0]}
    return pd.DataFrame(columns | {"response": values.ravel()})


def _panel(ax: Axes, name: str, lines: pd.DataFrame, colours: dict[str, str]) -> None:
    ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)
    for which, colour in colours.items():
        table = lines[lines["input"] == which].pivot(index="lag", columns="member", values="response")
        ax.plot(table.index, table, color=colour, lw=0.4, alpha=0.6)
        ax.plot(table.index, table.mean(axis=1), color=colour, lw=1.4, label=which)
    ax.set_ylim(bottom=0)


def read(products: Products) -> dict[str, dict[str, xr.Dataset]]:
    """Read the dissections of networks that see the inputs."""
    return base.dissections(products, "pulse")


def applies(facts: Facts) -> bool:
    """Whether the recording has inputs and some network is dissected."""
    return facts.driven and base.flowing(facts)


FIGURE = base.Figure(
    title="Pulses of the inputs",
    caption=(
        "How much an input moves a network, and for how long. In bins of test trials one input was raised, "
        "by one event where it is 0 or 1, else by its standard deviation, and the network went on reading "
        "what was recorded. Lines: by how much what it expects differs from what it expects without the "
        "pulse (rms over bins, in units of the rms spread of what it expects); bin 0 is that of the pulse. A "
        "response that is gone at once says that the input is passed through, one that stays that the "
        "network holds it. Thick: mean over random restarts, thin: each. Of many inputs those that move a "
        "network most are drawn. An input that was spread over several (`basis`) is one line for each."
    ),
    needs=base.DISSECTED,
    applies=applies,
    read=read,
    draw=draw,
    place=255,
    printed=False,
)
