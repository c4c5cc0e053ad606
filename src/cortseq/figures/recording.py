"""The recording itself: one trial as it is, the mean over a trial, and how it changes along the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq import splits
from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEQUENCES = 40  # that are drawn below each other


def draw(recording: xr.Dataset, roles: dict[str, list[int]]) -> tuple[Figure, pd.DataFrame]:
    """Draw a recording.

    Parameters
    ----------
    recording : with the units or channels that are fitted.
    roles : trials of "train", "valid" and "test", as indices.
    """
    with style.style():
        track = rec.kind(recording)
        return track.choose(counts=_binned, symbols=_symbols, signal=_binned)(recording, roles)


def _binned(recording: xr.Dataset, roles: dict[str, list[int]]) -> tuple[Figure, pd.DataFrame]:
    """Draw counts or signals: one trial, and means over units or channels in time and along the session."""
    valid, has_events = recording["valid"].values, rec.kind(recording).has_events
    trial = int(np.argsort(valid.sum(1), kind="stable")[len(valid) // 2])
    if has_events:
        y, one = rec.spikes(recording)[0], recording["counts"].isel(trial=trial).values
        mean = y / (recording.sizes["unit"] * recording.attrs["bin_width"])
    else:
        centre, spread = _scale(recording["signal"].values[valid])
        y = (recording["signal"].values - centre) / spread
        mean, one = _means(y, -1), y[trial]
    mean = np.where(valid, mean, np.nan)
    over_time, over_trials, label = (
        _means(mean, 0),
        _means(mean, 1),
        "rate (Hz)" if has_events else "mean (sd)",
    )
    fig, axes = style.figure(1, 3, style.PAGE, 2.4, width_ratios=(1.3, 1, 1))
    _trial(axes[0, 0], one[valid[trial]], recording, trial)
    time = recording["time"].values
    axes[0, 1].plot(time, over_time, color="black", lw=1)
    axes[0, 1].set(xlabel="time in the trial (s)", ylabel=label)
    axes[0, 1].set_title(f"mean over trials and {'units' if has_events else 'channels'}", loc="left")
    _along(axes[0, 2], over_trials, roles, label)
    axes[0, 2].set_title("mean of each trial", loc="left")
    return fig, _table({"time": (time, over_time), "trial": (np.arange(len(valid)), over_trials)})


def _table(panels: dict[str, tuple[Any, Any]]) -> pd.DataFrame:
    parts = [pd.DataFrame({"panel": name, "x": x, "value": y}) for name, (x, y) in panels.items()]
    return pd.concat(parts, ignore_index=True)


def _scale(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd of each channel, (channel,), missing samples left out; the sd of a constant is 1."""
    centre = _means(samples, 0)
    spread = np.sqrt(_means((samples - centre) ** 2, 0))
    return centre, np.where(spread > 0, spread, 1.0)


def _means(values: np.ndarray, axis: int) -> np.ndarray:
    """Return means over an axis of what is there; NaN where nothing is."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(axis) / np.where(there.any(axis), there.sum(axis), np.nan)


def _trial(ax: Any, values: np.ndarray, recording: xr.Dataset, trial: int) -> None:
    """Draw one trial as an image, units or channels along y."""
    has_events = rec.kind(recording).has_events
    extent = (0, len(values) * recording.attrs["bin_width"], -0.5, values.shape[1] - 0.5)
    looks: dict[str, Any] = (
        {"cmap": "Greys", "vmin": 0} if has_events else {"cmap": "RdBu_r", "vmin": -3, "vmax": 3}
    )
    image = ax.imshow(
        values.T, aspect="auto", origin="lower", extent=extent, interpolation="nearest", **looks
    )
    bar = ax.figure.colorbar(image, ax=ax, label="spikes/bin" if has_events else "sd", shrink=0.8)
    if has_events:
        style.whole_bar(bar)
    ax.set(xlabel="time in the trial (s)", ylabel="unit" if has_events else "channel")
    style.name_rows(ax.yaxis, rec.features(recording))
    ax.set_title(f"trial {trial}", loc="left")


def _along(ax: Any, values: np.ndarray, roles: dict[str, list[int]], label: str) -> None:
    """Draw one value a trial along the session, by what the trial is used for."""
    colours = {"train": "0.6", "valid": style.ORANGE, "test": style.BLUE}
    for role, colour in colours.items():
        ax.plot(roles[role], values[roles[role]], "o", ms=2, color=colour, label=role)
    ax.set(xlabel="trial, as recorded", ylabel=label)
    ax.legend(ncols=3, loc="upper right", handletextpad=0.1, columnspacing=0.8)
    ax.margins(y=0.2)  # room for the legend


def _symbols(recording: xr.Dataset, roles: dict[str, list[int]]) -> tuple[Figure, pd.DataFrame]:
    """Draw labels: some sequences below each other, how often each label comes, how long sequences are."""
    valid, symbols = recording["valid"].values, recording["symbols"].values
    labels = [str(name) for name in recording.attrs.get("labels") or range(recording.attrs["n_symbols"])]
    lengths = valid.sum(1)
    few = np.linspace(0, len(lengths) - 1, min(_SEQUENCES, len(lengths))).astype(int)
    fig, axes = style.figure(1, 3, style.PAGE, 2.6, width_ratios=(1.6, 0.8, 1))
    import matplotlib as mpl

    colours = mpl.colormaps["tab20"].resampled(max(len(labels), 2))
    shown = np.ma.masked_where(~valid[few], symbols[few])[:, : lengths[few].max()]
    axes[0, 0].imshow(
        shown, aspect="auto", cmap=colours, vmin=-0.5, vmax=len(labels) - 0.5, interpolation="nearest"
    )
    axes[0, 0].set(
        xlabel="position in the sequence", ylabel=f"{len(few)} of {len(lengths)} sequences", yticks=[]
    )
    share = np.bincount(symbols[valid], minlength=len(labels)) / valid.sum()
    axes[0, 1].barh(range(len(labels)), share, color=colours(range(len(labels))))
    axes[0, 1].set_yticks(range(len(labels)), labels, fontsize=7 if len(labels) <= 12 else 4)
    axes[0, 1].set(xlabel="share of all labels", ylabel="label")
    _along(axes[0, 2], lengths, roles, "labels in the sequence")
    axes[0, 2].set_title("length of each sequence", loc="left")
    return fig, _table({"label": (labels, share), "trial": (np.arange(len(lengths)), lengths)})


def read(products: Products) -> dict[str, Any]:
    """Read the recording with the units of the first fold, and its roles."""
    recording, roles = splits.fold_of(products.read("trials"), products.read("splits"), 0)
    return {"recording": recording, "roles": roles}


def _caption(facts: Facts) -> str:
    if TRACKS[facts.track].has_labels:
        return (
            "What was recorded. Left: sequences, evenly taken from all, a colour for each label. Middle: how "
            "often each label comes, in its colour. Right: how long each sequence is, by what it is used "
            "for. Look for sequences that are cut off, rare labels, and changes along the session."
        )
    what = "one trial of a median length" if not TRACKS[facts.track].has_events else "spikes of one trial"
    return (
        f"What was recorded. Left: {what}. Middle: the mean at each time of a trial. Right: the mean of "
        "each trial, by what the trial is used for. Look for units that fall silent, a recording that drifts "
        "or jumps, and trials unlike all others: models can predict these without knowing any dynamics."
    )


FIGURE = base.Figure(
    title="The recording",
    caption=_caption,
    needs=("trials", "splits"),
    read=read,
    draw=draw,
    place=2,
)
