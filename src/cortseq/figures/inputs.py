"""A recorded test trial above what models saw of the animal in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq import splits
from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 8  # inputs that are drawn


def draw(recording: xr.Dataset, trial: int) -> tuple[Figure, pd.DataFrame]:
    """Draw one trial and its inputs, in their own units; gaps where an input is not known.

    `recording`: with inputs. `trial`: which one, by position.
    """
    one = recording.isel(trial=trial)
    one = one.isel(input=_shown(one))
    valid, width = one["valid"].values, one.attrs["bin_width"]
    time = one["time"].values
    names = one["input"].values.astype(str)
    with style.style():
        heights = [2.2, *[0.55] * len(names)]
        fig, axes = style.figure(
            len(heights), 1, style.PAGE, 1.6 + 0.5 * len(names), sharex=True, height_ratios=heights
        )
        _recorded(axes[0, 0], one, (time[0], time[-1] + width))
        axes[0, 0].set_title(f"recorded, trial {trial}", loc="left")
        for ax, name, values in zip(axes[1:, 0], names, one["inputs"].values.T, strict=False):
            shown = np.where(valid, values, np.nan)
            ax.step(time, shown, where="post", color=style.BLUE, lw=1)
            ax.set_ylabel(name, rotation=0, ha="right", va="center")
            ax.locator_params(axis="y", nbins=2)
        axes[-1, 0].set_xlabel("time (s)")
        fig.align_ylabels(axes[1:, 0])
    table = pd.DataFrame(one["inputs"].values, columns=names).assign(time=time, valid=valid)
    return fig, table


def _shown(one: xr.Dataset) -> list[int]:
    """Return which inputs are drawn, by position: the first column of each, then the second, and so on."""
    made = json.loads(one.attrs.get("inputs", "{}"))
    of = [made.get(name, {}).get("of", name) for name in one["input"].values.astype(str)]
    turn = [of[:i].count(name) for i, name in enumerate(of)]
    return sorted(sorted(range(len(of)), key=lambda i: (turn[i], i))[:MOST])


def _recorded(ax: Axes, one: xr.Dataset, span: tuple[float, float]) -> None:
    """Draw counts as an image, a signal as its first channels, labels as dots."""
    kind, valid = rec.kind(one.expand_dims("trial")), one["valid"].values
    values = one[kind.name].transpose("time", ...).values
    if kind.has_events:
        shown = np.where(valid[:, None], values, np.nan).T
        extent = (*span, -0.5, len(shown) - 0.5)
        ax.imshow(shown, aspect="auto", origin="lower", extent=extent, cmap="Greys", interpolation="nearest")
        ax.set_ylabel("unit")
    elif kind.has_labels:
        ax.plot(one["time"].values[valid], values[valid], ".", color=style.BLACK, ms=3)
        ax.set_ylabel("label")
    else:
        ax.plot(one["time"].values[valid], values[valid][:, :5], lw=0.8)
        ax.set_ylabel("channels")


def read(products: Products) -> dict[str, Any]:
    """Read the recording and choose a test trial in which most inputs vary."""
    recording, roles = splits.fold_of(products.read("trials"), products.read("splits"), 0)
    test = np.asarray(roles["test"])
    spread = np.nan_to_num(np.nanstd(recording["inputs"].values[test], axis=1))
    varying = (spread > 0).sum(-1)
    best = test[varying == varying.max()]
    return {"recording": recording, "trial": int(best[len(best) // 2])}


def applies(facts: Facts) -> bool:
    """Whether the recording has inputs."""
    return facts.driven


FIGURE = base.Figure(
    title="What models see of the animal",
    caption=(
        "A test trial and, below it, the inputs that every model with inputs sees, in their own units (at "
        "most eight; of an input that was spread over several, the first ones). The input of a bin is known "
        "when that bin is predicted; a time series comes one bin "
        "late unless the study says otherwise. Where a line has a gap the input is not known: models then "
        "see the mean of the training trials, and that it is missing."
    ),
    needs=("trials", "splits"),
    applies=applies,
    read=read,
    draw=draw,
    place=112,
)
