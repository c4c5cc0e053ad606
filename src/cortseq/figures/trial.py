"""A recorded test trial beside what models predicted for each bin from the bins before it."""

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


def draw(recording: xr.Dataset, predictions: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw a typical test trial with what the best models predicted.

    `recording`: with the fold's units; `predictions`: variant -> its predictions (same test trials). Counts:
    spikes and predicted rates in Hz, units sorted by the time of their peak. Symbols: the probability given
    to each label, dots what came. Signals: the first channels with predicted means.
    """
    first = next(iter(predictions.values()))
    trial = _typical(recording, first["trial"].values)
    with style.style():
        drawer = rec.kind(recording).choose(counts=_counts, symbols=_symbols, signal=_signal)
        return drawer(
            recording.isel(trial=trial), {k: v.sel(trial=trial) for k, v in predictions.items()}, trial
        )


def _typical(recording: xr.Dataset, trials: np.ndarray) -> int:
    """Return the test trial with the median number of events (bins, for symbols and signals)."""
    has_events = rec.kind(recording).has_events
    values = (rec.spikes(recording)[0] if has_events else recording["valid"].values).sum(1)[trials]
    return int(trials[np.argsort(values, kind="stable")[len(values) // 2]])


def _long(panels: dict[str, np.ndarray], time: np.ndarray, names: Any) -> pd.DataFrame:
    tables = []
    for panel, values in panels.items():
        table = pd.DataFrame(values, columns=[str(n) for n in names]).assign(
            time=time[: len(values)], panel=panel
        )
        tables.append(table.melt(["panel", "time"], var_name="feature", value_name="value"))
    return pd.concat(tables, ignore_index=True)


def _counts(one: xr.Dataset, predicted: dict[str, xr.Dataset], trial: int) -> Any:
    valid, width = one["valid"].values, one.attrs["bin_width"]
    hz = {name: p["predicted"].values[valid] / width for name, p in predicted.items()}
    counts = one["counts"].values[valid]
    order = np.argsort(next(iter(hz.values())).argmax(0), kind="stable")
    time = one["time"].values[valid]
    extent = (time[0], time[-1] + width, -0.5, len(order) - 0.5)
    n = 1 + len(hz)
    fig, axes = style.figure(1, n, style.PAGE, 2.6, sharey=True)
    image = axes[0, 0].imshow(
        counts.T[order], aspect="auto", origin="lower", extent=extent, cmap="Greys", interpolation="nearest"
    )
    style.whole_bar(fig.colorbar(image, ax=axes[0, 0], label="spikes/bin", shrink=0.8))
    axes[0, 0].set_title(f"recorded, trial {trial}", loc="left", fontsize=7.5)
    axes[0, 0].set_ylabel("unit, by time of predicted peak")
    top = float(np.quantile(np.stack(list(hz.values())), 0.995))
    for ax, (name, rate) in zip(axes[0, 1:], hz.items(), strict=True):
        image = ax.imshow(
            rate.T[order],
            aspect="auto",
            origin="lower",
            extent=extent,
            cmap="viridis",
            vmin=0,
            vmax=top,
            interpolation="nearest",
        )
        ax.set_title(style.wrapped(name, 26), loc="left", fontsize=7.5)
    fig.colorbar(image, ax=axes[0, 1:], label="predicted rate (Hz)", shrink=0.8)
    for ax in axes.flat:
        ax.set_xlabel("time (s)")
    style.name_rows(axes[0, 0].yaxis, one["unit"].values[order].tolist())
    panels = {"recorded": counts[:, order], **{name: rate[:, order] for name, rate in hz.items()}}
    return fig, _long(panels, time, one["unit"].values[order])


def _symbols(one: xr.Dataset, predicted: dict[str, xr.Dataset], trial: int) -> Any:
    n = min(int(one["valid"].values.sum()), 60)
    labels = one.attrs.get("labels") or list(range(one.attrs["n_symbols"]))
    came = one["symbols"].values[:n]
    fig, axes = style.figure(
        len(predicted), 1, style.PAGE, 0.5 + (0.6 + 0.1 * len(labels)) * len(predicted), sharex=True
    )
    panels = {}
    for ax, (name, p) in zip(axes[:, 0], predicted.items(), strict=True):
        panels[name] = p["predicted"].values[:n]
        image = ax.imshow(
            panels[name].T,
            aspect="auto",
            origin="lower",
            cmap="Blues",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        ax.plot(np.arange(n), came, "o", ms=2.5, color=style.RED, mec="white", mew=0.3)
        ax.set_yticks(range(len(labels)), map(str, labels))
        ax.set_ylabel("symbol")
        bits = -np.log2(np.maximum(panels[name][np.arange(n), came], 1e-12)).mean()
        ax.set_title(
            f"{name}: loss {bits:.2f} bits/symbol here (trial {trial}; 0 is best); dots: what came",
            loc="left",
        )
    axes[-1, 0].set_xlabel("position in the sequence (symbols)")
    fig.colorbar(image, ax=axes[:, 0], label="predicted probability", shrink=0.9)
    panels["came"] = np.eye(len(labels))[came]
    return fig, _long(panels, np.arange(n), labels)


def _signal(one: xr.Dataset, predicted: dict[str, xr.Dataset], trial: int) -> Any:
    valid = one["valid"].values
    time, y = one["time"].values[valid], one["signal"].values[valid]
    n = min(5, y.shape[1])
    panels = {"recorded": y[:, :n], **{k: p["predicted"].values[valid][:, :n] for k, p in predicted.items()}}
    fig, axes = style.figure(n, 1, style.PAGE, 0.6 + 0.9 * n, sharex=True)
    for i, ax in enumerate(axes[:, 0]):
        for name, values in panels.items():
            ax.plot(time, values[:, i], label=name, color="black" if name == "recorded" else None, lw=0.8)
        ax.set_ylabel(f"channel {one['channel'].values[i]}\n(as recorded)")
    axes[0, 0].legend(ncols=len(panels), loc="lower left", bbox_to_anchor=(0, 1))
    axes[-1, 0].set_xlabel("time (s)")
    return fig, _long(panels, time, one["channel"].values[:n])


def read(products: Products) -> dict[str, Any]:
    """Read the variants that validation chose, first fold; the null if there is no network and no chain."""
    table = products.read("variants")
    ranked = [base.chosen(table, products.dataset, role) for role in ("recurrent", "markov")]
    names = [best[0] for best in ranked if best] or ["null"]
    recording, _ = splits.fold_of(products.read("trials"), products.read("splits"), 0)
    return {
        "recording": recording,
        "predictions": {name: products.read("predictions", name, 0) for name in names},
    }


def _caption(facts: Facts) -> str:
    track = TRACKS[facts.track]
    typical = "length" if track.has_labels else "number of events" if track.has_events else "number of bins"
    dots = " Dots: the symbols that came; the darker the field below a dot, the better." * track.has_labels
    return (
        f"A test trial with a typical {typical}, next to what the best network and the best Markov "
        f"chain (chosen on validation trials) expected. Each {track.step} is predicted from earlier "
        f"{track.step}s of the same trial only. Look for structure in the recording that one model predicts "
        f"and the other misses.{dots}"
    )


FIGURE = base.Figure(
    title="One recorded trial and its predictions",
    caption=_caption,
    needs=("variants", "trials", "splits", "predictions"),
    read=read,
    draw=draw,
    place=110,
)
