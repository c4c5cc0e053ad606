"""Phase portrait: states in their principal components, the closed loop's velocity, fixed and slow points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.quantities import MOST
from cortseq.figures import base, style
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`dissections`: variant -> product of the stage `dynamics`; member 0 of each is drawn.

    Lines: teacher-forced test trials. Arrows: velocity of the closed loop in the plane through the mean
    state. Filled circles: its stable, open: unstable fixed points, small where fewer than half of the other
    members have them; crosses: slow points. Diamonds: the fixed point of the open loop nearest to the data,
    with the input held at the mean of each condition, or at each of the most frequent symbols.
    """
    with style.style():
        columns = min(4 if len(dissections) > 6 else 3, len(dissections))
        rows = -(-len(dissections) // columns)
        fig, axes = style.figure(rows, columns, style.PAGE, 0.4 + (2.7 - 0.14 * columns) * rows)
        for ax in axes.flat[len(dissections) :]:
            ax.set_visible(False)
        scale, tables = None, []
        for ax, (name, one) in zip(axes.flat, dissections.items(), strict=False):
            tables.append(_table(one).assign(variant=name))
            scale = _panel(ax, name, one)
        last = next(iter(dissections.values()))
        if scale is not None:
            words = "label" in last and last["label"].dtype.kind not in "iufb"
            names = np.unique(last["label"].values.astype(str)).tolist() if words else []
            style.key(fig, axes, scale, _label(last), names)
        held = any("condition_projected" in one for one in dissections.values())
        fig.suptitle(
            "lines: driven by the recording; arrows, circles (filled: stable; small: few other members "
            "have it) and crosses (slow): velocity,\n"
            f"fixed points of the {last.attrs['map']} map"
            + f"; diamonds: fixed points of the open loop, input held at {_held(last.attrs['track'])}"
            * held,
            fontsize=7,
            color="0.4",
        )
    return fig, pd.concat(tables, ignore_index=True)


def _common(one: xr.Dataset) -> np.ndarray:
    """Whether most of the other members have each fixed point of member 0; of a single member, all."""
    points = one["fixed_points_projected"].values[0]
    return one["shared"].values[0] >= MOST if "shared" in one else np.ones(len(points), bool)


def _label(one: xr.Dataset) -> str:
    name = one.attrs["label_name"]
    if name:
        return name.replace("_", " ") + " (rad)" * style.is_angle(name)
    return "time in trial (s)" if style.timed(one) else "position (symbols)"


def _colour_values(one: xr.Dataset) -> tuple[np.ndarray, str]:
    """Return a value per (trial, time), the covariate or else the time in the trial, and its name."""
    shape = one["projected"].shape[:2]
    if "label" in one:
        values = one["label"].values
        if values.dtype.kind not in "iufb":
            values = np.unique(values.astype(str), return_inverse=True)[1].astype(float)
        return np.broadcast_to(values if values.ndim == 2 else values[:, None], shape), one.attrs[
            "label_name"
        ]
    return np.broadcast_to(one["time"].values, shape), ""


def _panel(ax: Axes, name: str, one: xr.Dataset) -> Any:
    from matplotlib.collections import LineCollection

    x = one["projected"].values[..., :2]
    if x.shape[2] < 2:
        x = np.concatenate([x, np.zeros_like(x)], -1)
    values, label = _colour_values(one)
    colours, scale = style.label_colours(values, label)
    segments = np.stack([x[:, :-1], x[:, 1:]], 2)
    fine = np.isfinite(segments).all((2, 3))
    ax.add_collection(
        LineCollection(segments[fine], colors=colours[:, :-1][fine], lw=0.5, alpha=0.7, rasterized=True)
    )
    points = one["fixed_points_projected"].values[0, :, :2]
    inside = _near(points, x)
    common = _common(one)
    for stable, face in ((1.0, "black"), (0.0, "white")):
        for alike, size in ((True, 6), (False, 3.5)):
            mine = (one["stable"].values[0] == stable) & (common == alike) & inside
            # a white rim sets filled circles off from dark lines, a coloured one the open circles
            look: dict[str, Any] = {
                "mfc": face,
                "mec": "white" if stable else style.RED,
                "mew": 0.5 if stable else 1.1,
            }
            ax.plot(*points[mine].T, "o", ms=size, ls="none", zorder=3, **look)
    _slow(ax, one, x)
    _conditions(ax, one, x)
    ax.autoscale_view()
    _arrows(ax, one)
    explained = one["explained"].values
    ax.set_xlabel(f"PC 1 ({100 * explained[0]:.0f} %)")
    ax.set_ylabel(f"PC 2 ({100 * explained[1]:.0f} %)" if len(explained) > 1 else "")
    n = int(np.isfinite(points[:, 0]).sum())
    far = n - int(inside.sum())
    ax.set_title(
        f"{style.wrapped(name)}\n{n or 'no'} fixed point{'s' * (n != 1)}{'' if n else ' found'}"
        + (f", {far} outside" if far else ""),
        loc="left",
        fontsize=7.5,
    )
    return scale


def _arrows(ax: Axes, one: xr.Dataset) -> None:
    """Draw the velocity field, all arrows of readable length: a root keeps the slow ones visible."""
    if "velocity" not in one:
        return
    grid, velocity = one["grid"].values, one["velocity"].values
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
    arrows = velocity / np.sqrt(np.maximum(speed, 1e-300) * max(np.nanmax(speed), 1e-300))
    ax.quiver(*np.moveaxis(grid, -1, 0), *np.moveaxis(arrows, -1, 0), color="0.55", width=0.003, zorder=0)


def _slow(ax: Axes, one: xr.Dataset, x: np.ndarray) -> None:
    projected = (one["slow_points"].values[0] - one["mean"].values) @ one["components"].values[:2].T
    projected = np.pad(projected, ((0, 0), (0, 2 - projected.shape[1])))
    known = projected[_near(projected, x)]
    if len(known):
        ax.plot(*known.T, "x", color="0.25", ms=3, mew=0.7, ls="none", zorder=2)


def _conditions(ax: Axes, one: xr.Dataset, x: np.ndarray) -> None:
    if "condition_projected" not in one or one["condition_projected"].shape[1] < 2:
        return
    points = one["condition_projected"].values[:, :2]
    known = points[_near(points, x)]
    if len(known):
        ax.plot(*known.T, "D", mfc=style.ORANGE, mec="black", mew=0.6, ms=4, ls="none", zorder=4)


def _near(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Points within twice the range of the trajectories; the others would squeeze the picture."""
    low, high = np.nanmin(x, (0, 1)), np.nanmax(x, (0, 1))
    reach = 0.5 * (high - low) + 1e-9
    with np.errstate(invalid="ignore"):
        return np.asarray(((points > low - reach) & (points < high + reach)).all(1))


def _table(one: xr.Dataset) -> pd.DataFrame:
    x = one["projected"].values
    values, _ = _colour_values(one)
    trial, time = np.meshgrid(one["trial"].values, one["time"].values, indexing="ij")
    states = pd.DataFrame(
        {"kind": "state", "trial": trial.ravel(), "time": time.ravel(), "label": values.ravel()}
    )
    for i in range(min(2, x.shape[2])):
        states[f"pc{i + 1}"] = x[..., i].ravel()
    points = one["fixed_points_projected"].values[0]
    found = pd.DataFrame({"kind": "fixed point", "stable": one["stable"].values[0], "shared": _common(one)})
    for i in range(min(2, points.shape[1])):
        found[f"pc{i + 1}"] = points[:, i]
    tables = [states, found]
    for kind, points in _others(one).items():
        columns = {f"pc{i + 1}": points[:, i] for i in range(min(2, points.shape[1]))}
        tables.append(pd.DataFrame({"kind": kind, **columns}))
    if "velocity" in one:
        at, moved = (one[v].values.reshape(-1, 2) for v in ("grid", "velocity"))
        columns = {"pc1": at[:, 0], "pc2": at[:, 1], "velocity1": moved[:, 0], "velocity2": moved[:, 1]}
        tables.append(pd.DataFrame({"kind": "velocity", **columns}))
    return pd.concat([t.dropna(subset="pc1") for t in tables], ignore_index=True)


def _others(one: xr.Dataset) -> dict[str, np.ndarray]:
    """Slow points, and fixed points of each condition, in principal components."""
    found = {"slow point": (one["slow_points"].values[0] - one["mean"].values) @ one["components"].values.T}
    if "condition_projected" in one:
        found["fixed point of a condition"] = one["condition_projected"].values
    return found


def _held(track: str) -> str:
    """Return what the input is held at where fixed points of the open loop are searched."""
    return "each of the most frequent symbols" if TRACKS[track].has_labels else "the mean of each condition"


def _caption(facts: Facts) -> str:
    conditions = (
        " A condition is a value of the covariate that colours the lines; of one that is continuous, such as "
        "an angle, a quarter of its values."
    )
    return (
        "Where a network's hidden state goes and what would move it there. Lines: states of the first random "
        "restart in the plane of their first two principal components while it reads test trials. Arrows, "
        "fixed points (circles) and slow points (crosses) belong to the closed loop, in which the network's "
        "own expectation replaces the recording; they need not lie where the recording drives the state. "
        "Filled black circles are stable, open orange-red ones unstable; small ones few other restarts have. "
        f"Diamonds{_WHERE * (not TRACKS[facts.track].has_labels)}: the fixed point nearest to the data with "
        f"the input held at {_held(facts.track)}."
    ) + conditions * (not TRACKS[facts.track].has_labels)


_WHERE = ", where the recording has conditions"


FIGURE = base.of_dynamics(
    title="Phase portraits",
    caption=_caption,
    draw=draw,
    place=210,
)
