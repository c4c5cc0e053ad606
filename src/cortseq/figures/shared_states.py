"""One cell, several sessions: where the states of each lie, and how much of that they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.dimension import alignment
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DRAWN = 600  # states of a session that are drawn
_COLUMNS = ["variant", "kind", "session", "other", "x", "y", "value"]


def draw(dissections: dict[str, dict[str, xr.Dataset]]) -> tuple[Figure, pd.DataFrame]:
    """Draw the sessions of every variant that shares a cell.

    `dissections`: variant -> session -> product of `dynamics`; the first restart of each. Left: states in the
    plane of the first two components of all sessions, each weighing the same, and fixed points of each
    closed loop (filled: stable). Right: alignment of the sessions.
    """
    with style.style():
        n = max(1, len(dissections))
        fig, axes = style.figure(n, 2, style.PAGE, 0.4 + 2.6 * n, width_ratios=[1.5, 1])
        if not dissections:
            style.say(axes[0, 0], "no network with a shared cell was dissected")
            axes[0, 1].set_visible(False)
            return fig, pd.DataFrame(columns=_COLUMNS)
        tables = []
        for (left, right), (name, sessions) in zip(axes, dissections.items(), strict=True):
            cells = _of_the_cell(sessions)
            tables += [_plane(left, name, sessions, cells), _alignments(right, name, cells)]
    return fig, pd.concat(tables, ignore_index=True)[_COLUMNS]


def _of_the_cell(sessions: dict[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Return the visited states (n, dim) of each session, without what a skip connection carries along.

    That is the last observation, of as many numbers as the session has channels; it ends the state.
    """
    sizes = {name: one.sizes["dim"] for name, one in sessions.items()}
    if len(set(sizes.values())) > 1:
        sizes = {name: one.sizes["dim"] - one.sizes["feature"] for name, one in sessions.items()}
    n = min(sizes.values())
    found = {
        name: one["states"].values.reshape(-1, one.sizes["dim"])[:, :n] for name, one in sessions.items()
    }
    return {name: x[np.isfinite(x).all(1)] for name, x in found.items()}


def _plane(
    ax: Axes, name: str, sessions: dict[str, xr.Dataset], cells: dict[str, np.ndarray]
) -> pd.DataFrame:
    centre = np.mean([x.mean(0) for x in cells.values()], 0)
    scatter = np.mean([(x - centre).T @ (x - centre) / len(x) for x in cells.values()], 0)
    values, vectors = np.linalg.eigh(scatter)
    axes, explained = vectors[:, -2:][:, ::-1], values[-2:][::-1] / values.sum()
    tables = []
    for i, (session, x) in enumerate(cells.items()):
        colour = style.CYCLE[i % len(style.CYCLE)]
        drawn = x[np.linspace(0, len(x) - 1, min(_DRAWN, len(x))).astype(int)]
        shown = (drawn - centre) @ axes
        ax.plot(*shown.T, ".", ms=2, alpha=0.35, color=colour, label=session, rasterized=True)
        tables.append(_points(name, "state", session, shown))
        one = sessions[session]
        points = one["fixed_points"].values[0][:, : x.shape[1]]
        for stable, face in ((1.0, colour), (0.0, "white")):
            at = (points[one["stable"].values[0] == stable] - centre) @ axes
            ax.plot(*at.T, "o", ms=6, mfc=face, mec="black" if stable else colour, mew=0.8, zorder=3)
            tables.append(_points(name, "stable" if stable else "unstable", session, at))
    ax.set_xlabel(f"PC 1 ({100 * explained[0]:.0f} %)")
    ax.set_ylabel(f"PC 2 ({100 * explained[1]:.0f} %)")
    ax.set_title(style.wrapped(name, 40), loc="left")
    every = np.concatenate([(x - centre) @ axes for x in cells.values()])
    low, high = every.min(0), every.max(0)
    room = 0.3 * (high - low)
    ax.set_xlim(low[0] - room[0], high[0] + room[0])
    ax.set_ylim(low[1] - room[1], high[1] + room[1])
    ax.legend(markerscale=4, loc="best")
    return pd.concat(tables, ignore_index=True)


def _points(variant: str, kind: str, session: str, at: np.ndarray) -> pd.DataFrame:
    x, y = at.T
    return pd.DataFrame({"variant": variant, "kind": kind, "session": session, "x": x, "y": y})


def _alignments(ax: Axes, name: str, cells: dict[str, np.ndarray]) -> pd.DataFrame:
    names = list(cells)
    square = np.array([[alignment(cells[a], cells[b]) for b in names] for a in names])
    ax.imshow(square, cmap="viridis", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(square):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.6 else "k")
    labels = [style.wrapped(n, 12) for n in names]
    ax.set_xticks(range(len(names)), labels)
    ax.set_yticks(range(len(names)), labels)
    ax.tick_params(length=0)
    ax.set_ylabel("variance of")
    ax.set_xlabel("in the dimensions of")
    ax.set_title("alignment", loc="left")
    pairs = [(a, b) for a in names for b in names]
    rows = [(name, "alignment", a, b, v) for (a, b), v in zip(pairs, square.ravel(), strict=True)]
    return pd.DataFrame(rows, columns=["variant", "kind", "session", "other", "value"])


def read(products: Products) -> dict[str, Any]:
    """Read the dissections of all sessions; one that could not be made is left out, a single one too."""
    found: dict[str, dict[str, Any]] = {}
    for variant, dataset, fold in products.keys("shared_dynamics"):
        found.setdefault(variant, {})[dataset] = products.read("shared_dynamics", variant, dataset, fold)
    return {"dissections": {variant: one for variant, one in found.items() if len(one) > 1}}


def applies(facts: Facts) -> bool:
    """Whether some network whose cell sessions share is dissected."""
    return bool(facts.joined)


FIGURE = base.Figure(
    title="One cell, several sessions",
    caption=(
        "What sessions make of the cell that they share (first random restart). Left: states visited on test "
        "trials, a colour for each session, in one plane; circles: fixed points of the closed loop of that "
        "session, filled where stable. The cell is the same, but each session reads into and out of it by "
        "weights of its own, so that its loop closes in its own way. Right: how much of the variance of one "
        "session (row) lies in the dimensions that hold 95 % of that of another (column), of what so many "
        "dimensions could hold at most: 1 where both use the same dimensions. Sessions that use dimensions "
        "of their own share a cell in name only."
    ),
    scope="study",
    needs=("shared_dynamics",),
    applies=applies,
    read=read,
    draw=draw,
    place=17,
)
