"""Members side by side in one plane: what the data decide is the same in every panel of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.quantities import MOST
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_MEMBERS = 4
_TRIALS = 12


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw fixed points and trajectories of several members in one plane.

    `dissections`: variant -> product of `dynamics`. A row a variant, a panel a member, in the plane of the
    first two components of member 0; others are taken there by the linear map between states. Lines: test
    trials. Circles: fixed points of the closed loop (filled: stable; small: fewer than half of the other
    members have it).
    """
    with style.style():
        columns = max(min(_MOST_MEMBERS, one.sizes["member"]) for one in dissections.values())
        rows = len(dissections)
        fig, axes = style.figure(rows, columns, style.PAGE, 0.4 + 1.55 * rows, sharex="row", sharey="row")
        tables = []
        for line, (name, one) in zip(axes, dissections.items(), strict=True):
            for member, ax in enumerate(line):
                if member >= one.sizes["member"]:
                    ax.set_visible(False)
                    continue
                tables.append(_table(one, member).assign(variant=name))
                _panel(ax, one, member)
            line[0].set_ylabel(f"{style.wrapped(name, 16)}\nPC 2", fontsize=6.5)
        for ax in axes[-1]:
            ax.set_xlabel("PC 1 (of member 1)")
        fig.suptitle(
            "lines: driven by the recording; circles: fixed points of the closed (mean) map; "
            "filled: stable; small: few other members have it",
            fontsize=7,
            color="0.4",
        )
    return fig, pd.concat(tables, ignore_index=True)


def _shared(one: xr.Dataset, member: int) -> np.ndarray:
    if "shared" not in one:
        return np.ones(one.sizes["point"], bool)
    return np.asarray(one["shared"].values[member] >= MOST)


def _flat(values: np.ndarray) -> np.ndarray:
    """(..., 2), a second component of zeros where the state has one dimension."""
    return values if values.shape[-1] == 2 else np.concatenate([values, np.zeros_like(values)], -1)


def _panel(ax: Axes, one: xr.Dataset, member: int) -> None:
    x, points = (_flat(one[v].values[member]) for v in ("plane_states", "plane_points"))
    ax.plot(*np.moveaxis(x[:_TRIALS], (2, 1), (0, 1)), color=style.SKY, lw=0.4, alpha=0.7, rasterized=True)
    every = _flat(one["plane_states"].values)
    low, high = np.nanmin(every, (0, 1, 2)), np.nanmax(every, (0, 1, 2))
    reach = 0.5 * (high - low) + 1e-9
    with np.errstate(invalid="ignore"):
        inside = ((points > low - reach) & (points < high + reach)).all(1)
    for stable, face in ((1.0, "black"), (0.0, "white")):
        for alike, size in ((True, 4), (False, 2)):
            mine = inside & (one["stable"].values[member] == stable) & (_shared(one, member) == alike)
            ax.plot(*points[mine].T, "o", mfc=face, mec="black", ms=size, mew=0.7, ls="none", zorder=3)
    outside = int((np.isfinite(points).all(1) & ~inside).sum())
    far = f", {outside} point{'s' * (outside != 1)} outside" if outside else ""
    ax.set_title(f"member {member + 1}{far}", loc="left", fontsize=7)
    ax.tick_params(labelsize=6)


def _table(one: xr.Dataset, member: int) -> pd.DataFrame:
    x, points = (_flat(one[v].values[member]) for v in ("plane_states", "plane_points"))
    trial, time = np.indices(x[:_TRIALS].shape[:2])
    states = pd.DataFrame({"kind": "state", "trial": trial.ravel(), "bin": time.ravel()})
    states["pc1"], states["pc2"] = x[:_TRIALS].reshape(-1, 2).T
    found = pd.DataFrame({"kind": "fixed point", "stable": one["stable"].values[member]})
    found["shared"], (found["pc1"], found["pc2"]) = _shared(one, member), points.T
    return pd.concat([states, found]).dropna(subset="pc1").assign(member=member)


FIGURE = base.of_dynamics(
    title="Random restarts of one model",
    caption=(
        "Whether restarts that predict equally well found the same dynamics. Up to four restarts of each "
        "model in the plane of the first one's principal components; a linear map between the states "
        "takes the others there. What the data decide looks the same in every panel of a row; what "
        "differs is an accident of the restart. Fixed points further out than half the range of the states "
        "are left out, and counted in the title of their panel."
    ),
    draw=draw,
    place=220,
    printed=False,
)
