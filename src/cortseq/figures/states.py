"""States of recurrent models in their principal components, with the fixed points of the closed loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`dissections`: variant -> product of the stage `dynamics`; member 0 of each is drawn.

    Lines: teacher-forced test trials; filled circles: stable, open: unstable fixed points of the map named.
    """
    with style.style():
        columns = min(3, len(dissections))
        rows = -(-len(dissections) // columns)
        fig, axes = style.figure(rows, columns, style.PAGE, 0.4 + 2.3 * rows)
        for ax in axes.flat[len(dissections) :]:
            ax.set_visible(False)
        scale, tables = None, []
        for ax, (name, one) in zip(axes.flat, dissections.items(), strict=False):
            tables.append(_table(one).assign(variant=name))
            scale = _panel(ax, name, one)
        last = next(iter(dissections.values()))
        if scale is not None:
            bar = fig.colorbar(
                scale,
                ax=axes,
                label=_label(last),
                shrink=0.7,
            )
            if "label" in last and last["label"].dtype.kind not in "iufb":
                names = np.unique(last["label"].values.astype(str)).tolist()
                bar.set_ticks(range(len(names)), labels=names)
        fig.suptitle(
            f"lines: driven by the recording; circles: fixed points of the map: {last.attrs['map']}; filled where stable",
            fontsize=7,
            color="0.4",
        )
    return fig, pd.concat(tables, ignore_index=True)


def _label(one: xr.Dataset) -> str:
    name = one.attrs["label_name"]
    if name:
        return name.replace("_", " ") + " (rad)" * style.is_angle(name)
    return "time in trial (s)" if one.attrs["bin_width"] != 1.0 else "position (symbols)"


def _colour_values(one: xr.Dataset) -> tuple[np.ndarray, str]:
    """A value per (trial, time): the covariate, else the time in the trial."""
    shape = one["projected"].shape[:2]
    if "label" in one:
        values = one["label"].values
        if values.dtype.kind not in "iufb":
            values = np.unique(values.astype(str), return_inverse=True)[1].astype(float)
        return np.broadcast_to(values if values.ndim == 2 else values[:, None], shape), one.attrs[
            "label_name"
        ]
    return np.broadcast_to(one["time"].values, shape), ""


def _panel(ax, name: str, one: xr.Dataset):
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
    for stable, face in ((1.0, "black"), (0.0, "white")):
        mine = (one["stable"].values[0] == stable) & inside
        ax.plot(*points[mine].T, "o", mfc=face, mec="black", ms=5, ls="none", zorder=3)
    ax.autoscale_view()
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


def _near(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Points within three times the range of the trajectories; the others would squeeze the picture."""
    low, high = np.nanmin(x, (0, 1)), np.nanmax(x, (0, 1))
    reach = (high - low) + 1e-9
    with np.errstate(invalid="ignore"):
        return ((points > low - reach) & (points < high + reach)).all(1)


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
    found = pd.DataFrame({"kind": "fixed point", "stable": one["stable"].values[0]})
    for i in range(min(2, points.shape[1])):
        found[f"pc{i + 1}"] = points[:, i]
    return pd.concat([states.dropna(subset="pc1"), found.dropna(subset="pc1")], ignore_index=True)
