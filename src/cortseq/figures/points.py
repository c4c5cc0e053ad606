"""How sure the search for fixed points is, and how far from the data the points lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.quantities import NEAR
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw whether all fixed points were found, and how far they lie from the data.

    `dissections`: variant -> product of `dynamics`. Above: distinct fixed points found against the number of
    starts, mean over orders of the starts, a line a member, up to the number found; one that still rises says
    that points are missing. Below: modulus of the largest eigenvalue at each point against its distance to
    the nearest visited state, a colour a member.
    """
    from matplotlib.lines import Line2D

    with style.style():
        n = len(dissections)
        fig, axes = style.figure(2, n, max(style.PAGE, n), 3.8, sharey="row", sharex="row")
        tables = []
        for column, (name, one) in zip(axes.T, dissections.items(), strict=True):
            tables += [t.assign(variant=name) for t in (_curves(one), _points(one))]
            _saturation(column[0], name, tables[-2])
            _distances(column[1], tables[-1])
        axes[0, 0].set_ylim(bottom=0)  # of all: the limits are shared, and fixed from here on
        axes[0, 0].set_ylabel("fixed points found")
        axes[1, 0].set_yscale("log")  # of all: one wild point must not flatten the others
        axes[1, 0].margins(y=0.15)
        style.short_logarithm(axes[1, 0].yaxis)
        axes[1, 0].set_ylabel("largest |λ| at the point")
        marks = [
            Line2D([], [], marker="o", ls="none", mec="0.3", mfc=face, ms=3.5) for face in ("0.3", "white")
        ]
        fig.legend(marks, ["stable", "unstable"], loc="outside lower center", ncols=2)
        fig.suptitle(
            "map: closed (mean); a colour a member; grey: beyond one rms spread of the data",
            fontsize=7,
            color="0.4",
        )
    return fig, pd.concat(tables, ignore_index=True)


def _curves(one: xr.Dataset) -> pd.DataFrame:
    values = one["saturation"].values
    member, start = np.indices(values.shape)
    columns = {"member": member.ravel(), "starts": start.ravel() + 1, "found": values.ravel()}
    return pd.DataFrame({"kind": "saturation", **columns}).dropna(subset="found")


def _points(one: xr.Dataset) -> pd.DataFrame:
    """Speeds are in units of the median speed of trajectories."""
    moduli = np.hypot(one["jacobian_eigenvalues_real"].values, one["jacobian_eigenvalues_imag"].values)
    member, point = np.indices(one["speed"].shape)
    typical = np.asarray(one.attrs["typical_speed"], float)[:, None]
    columns = {
        "member": member,
        "point": point,
        "distance": one["distance"].values,
        "stable": one["stable"].values,
        "modulus": moduli.max(-1),
        "relative_speed": one["speed"].values / typical,
    }
    flat = {name: values.ravel() for name, values in columns.items()}
    return pd.DataFrame({"kind": "point", **flat}).dropna(subset="distance")


def _saturation(ax: Axes, name: str, table: pd.DataFrame) -> None:
    for member, rows in table.groupby("member"):
        colour, line = style.CYCLE[int(member) % len(style.CYCLE)], ("-", "--", ":", "-.")[int(member) % 4]
        ax.plot(rows["starts"], rows["found"], color=colour, ls=line, lw=1.0)
    ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)
    ax.set_xlabel("starts")


def _distances(ax: Axes, table: pd.DataFrame) -> None:
    ax.axhline(1, color="0.6", lw=0.7)
    ax.axvspan(NEAR, 1e3, color="0.93", lw=0, zorder=0)
    if table.empty:
        ax.text(
            0.5,
            0.5,
            "no fixed point found",
            transform=ax.transAxes,
            ha="center",
            color=style.GREY,
            fontsize=7,
        )
    for row in table.itertuples():
        colour = style.CYCLE[int(row.member) % len(style.CYCLE)]
        face = colour if row.stable == 1 else "white"
        ax.plot(max(row.distance, 1e-3), row.modulus, "o", mec=colour, mfc=face, ms=3.5, mew=0.8)
    ax.set_xscale("log")
    ax.set_xlim(0.8e-3, 1e2)
    ax.set_xlabel("distance to data\n(rms spreads)", fontsize=7)


FIGURE = base.of_dynamics(
    title="The search for fixed points",
    caption=(
        "Whether the search found all fixed points, and whether the data say anything about them. Above: "
        "distinct fixed points against the number of starting points, each searched from twice: as it is, "
        "and from where the closed loop takes it; the curve ends at the number found. One that still rises "
        "at its end means that some are missing. Below: largest eigenvalue modulus at each point (above 1: "
        "unstable) against the distance to the nearest visited state (both axes logarithmic). Points in the "
        "grey part lie further from the data than these are spread: no recording speaks for or against them."
    ),
    draw=draw,
    place=230,
    printed=False,
)
