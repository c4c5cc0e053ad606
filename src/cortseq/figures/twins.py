"""Twin trajectories: how two runs that begin almost alike part or meet, with and without sampling noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = {"closed": ("-", "closed loop (mean)"), "sampled": ("--", "sampled, the same noise for both")}
_FLOOR = 1e-16  # what rounding leaves of a distance; twins that met lie there


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw how fast two copies of a network that start close together move apart.

    `dissections`: variant -> product of `dynamics`. Lines: geometric mean over twins of their distance over
    that at the start, a colour a member. A draw has no derivative: what an exponent is to the mean map, this
    is to the sampled one.
    """
    with style.style():
        columns = min(4, len(dissections))
        rows = -(-len(dissections) // columns)
        fig, axes = style.figure(rows, columns, style.PAGE, 0.7 + 1.9 * rows)
        for ax in axes.flat[len(dissections) :]:
            ax.set_visible(False)
        tables = []
        for ax, (name, one) in zip(axes.flat, dissections.items(), strict=False):
            tables.append(_table(one).assign(variant=name))
            _panel(ax, name, tables[-1])
        unit = "bins" if style.timed(next(iter(dissections.values()))) else "symbols"
        for ax in axes[:, 0]:
            ax.set_ylabel("distance / at start")
        for ax in axes.flat:
            ax.set_xlabel(f"step ({unit})")
        handles = [_handle(dash, text) for dash, text in _SHOWN.values()]
        fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig, pd.concat(tables, ignore_index=True)


def _table(one: xr.Dataset) -> pd.DataFrame:
    tables = []
    for map in _SHOWN:
        distances = np.maximum(one[f"{map}_twins"].values, _FLOOR)
        for member, each in enumerate(distances):
            ratio = np.exp(np.log(each / each[:, :1]).mean(0))
            columns = {"step": np.arange(len(ratio)), "ratio": ratio}
            tables.append(pd.DataFrame(columns).assign(map=map, member=member))
    return pd.concat(tables, ignore_index=True)


def _panel(ax: Axes, name: str, table: pd.DataFrame) -> None:
    ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)
    ax.axhline(1, color="0.6", lw=0.7)
    for (map, member), rows in table.groupby(["map", "member"]):
        colour = style.CYCLE[int(member) % len(style.CYCLE)]
        ax.plot(rows["step"], rows["ratio"], ls=_SHOWN[map][0], lw=1.0, color=colour)
    ax.set_yscale("log")
    style.short_logarithm(ax.yaxis)


def _handle(dash: str, text: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], ls=dash, lw=1.0, color="0.2", label=text)


FIGURE = base.of_dynamics(
    title="Twin trajectories",
    caption=(
        "What happens to two runs that begin 1e-6 apart, a colour for each random restart: above 1 they "
        "part, below 1 they meet. Solid: the closed loop. Dashed: each run draws its own observations with "
        "the same random numbers; draws have no derivative, so there is no exponent, and a jump is a draw "
        "that came out differently."
    ),
    draw=draw,
    place=280,
    printed=False,
)
