"""Figures of one object from Python: a fit and its predictions, fixed points and their eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import xr
from cortseq.data import Trials
from cortseq.errors import CortseqError
from cortseq.figures import curves, style, trial
from cortseq.metrics import METRICS
from cortseq.observations.tracks import TRACKS
from cortseq.scoring import products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cortseq.dynamics.fixed_points import FixedPoints
    from cortseq.models.fit import Fit

# Stable points are filled, unstable ones hollow, as in the figures of a study.
_STABLE: dict[str, Any] = {"mfc": style.BLACK, "mec": "white", "mew": 0.5}
_UNSTABLE: dict[str, Any] = {"mfc": "white", "mec": style.RED, "mew": 1.1}
_FLAT = 1e-9  # of the largest singular value: smaller ones are rounding


def fit(one: Fit, recording: xr.Dataset | None = None, trials: Trials = None) -> Figure:
    """Draw the training curves of a fit, or what it predicts in a trial; arguments as of `Fit.plot`."""
    name = type(one.model).__name__
    if recording is None:
        if not len(one.curves):
            raise CortseqError(
                f"a {one.model.family} model has no training curves",
                key="plot",
                fix="give the recording, to see what it predicts",
            )
        return curves.draw({name: one.curves}, METRICS[TRACKS[one.card["track"]].metric].event)[0]
    if trials is None:
        trials = one.held_out(recording)
    return trial.draw(recording, {name: products.predictions(one, recording, np.asarray(trials))})[0]


def fixed_points(points: FixedPoints, visited: Any = None) -> Figure:
    """Draw fixed points in the plane of two principal components, and their eigenvalues.

    Arguments as of `FixedPoints.plot`.
    """
    with style.style():
        fig, axes = style.figure(1, 2, style.PAGE, 3.2)
        _plane(axes[0, 0], points, visited)
        _eigenvalues(axes[0, 1], points)
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return fig


def _plane(ax: Axes, points: FixedPoints, visited: Any) -> None:
    known = [points.states, points.slow_states]
    if visited is not None:
        seen = np.asarray(visited, float)
        seen = seen.reshape(-1, seen.shape[-1])
        known = [seen[np.isfinite(seen).all(1)]]
    basis = np.concatenate(known)
    if not len(basis):
        style.say(ax, "no fixed point found")
        return
    mean = basis.mean(0)
    _, sizes, directions = np.linalg.svd(basis - mean, full_matrices=False)
    axes = np.zeros((basis.shape[1], 2))
    some = directions[:2][sizes[:2] > _FLAT * sizes[0]]  # fewer where the states lie on a line or in a point
    axes[:, : len(some)] = some.T
    if visited is not None:
        ax.plot(*((known[0] - mean) @ axes).T, ".", color="0.75", ms=2, label="visited states", zorder=0)
    at = (points.states - mean) @ axes
    for which, look, name in ((points.stable, _STABLE, "stable"), (~points.stable, _UNSTABLE, "unstable")):
        if which.any():
            ax.plot(*at[which].T, "o", ms=6, ls="none", label=f"{name} ({which.sum()})", **look)
    if len(points.slow_states):
        slow = (points.slow_states - mean) @ axes
        ax.plot(
            *slow.T, "x", color="0.25", ms=4, mew=0.8, ls="none", label=f"slow points ({len(slow)})", zorder=1
        )
    share = np.zeros(2)
    share[: len(sizes[:2])] = 100 * sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    ax.set_xlabel(f"PC 1 ({share[0]:.0f} %)")
    ax.set_ylabel(f"PC 2 ({share[1]:.0f} %)")
    ax.set_title(f"fixed points of the {points.map} map", loc="left")
    ax.margins(0.1)


def _eigenvalues(ax: Axes, points: FixedPoints) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color="0.6", lw=0.8)
    # hollow circles of unstable points below the small dots of stable ones: none hides the other
    looks: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
        (~points.stable, {"marker": "o", "color": style.RED, "ms": 3.5, "mfc": "none", "mew": 0.6}),
        (points.stable, {"marker": ".", "color": style.BLACK, "ms": 4}),
    )
    for which, look in looks:
        values = points.eigenvalues[which].ravel()
        ax.plot(values.real, values.imag, ls="none", **look)
    reach = 1.12 * max(1.0, float(np.abs(points.eigenvalues).max(initial=0.0)))
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    ax.set_title("eigenvalues at the points, unit circle", loc="left")
