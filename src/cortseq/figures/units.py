"""Per-unit scores of the best network against those of the best Markov chain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import style
from cortseq.models.emissions import MIN_RATE


def draw(recording: xr.Dataset, predictions: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`predictions`: those of null, the network and the chain, in this order. A dot a unit: bits/spike of the expected
    counts over the training mean, sum_t log Pois(y; E[y | past]) / spikes; area: spikes."""
    null, *others = predictions
    test = predictions[null]["trial"].values
    y = recording["counts"].values[test].astype(float)
    y[~recording["valid"].values[test]] = np.nan
    spikes = np.nansum(y, (0, 1))
    base = predictions[null]["predicted"].values
    table = pd.DataFrame({"unit": recording["unit"].values, "spikes": spikes})
    for name in others:
        table[name] = scores(predictions[name]["predicted"].values, base, y)
    table = table[table["spikes"] > 0].reset_index(drop=True)
    network, chain = others
    with style.style():
        fig, axes = style.figure(1, 1, style.COLUMN, style.COLUMN)
        ax = axes[0, 0]
        size = 4 + 30 * np.sqrt(table["spikes"] / table["spikes"].max())
        ax.scatter(table[chain], table[network], s=size, color=style.BLUE, alpha=0.6, lw=0)
        both = table[[chain, network]].to_numpy()
        low, high = min(0.0, both.min()), max(0.0, both.max())
        room = 0.05 * (high - low) or 0.1
        ax.plot([low - room, high + room], [low - room, high + room], color="0.7", lw=0.8, zorder=0)
        ax.set_xlim(low - room, high + room)
        ax.set_ylim(low - room, high + room)
        ax.set_xlabel(f"{chain} (bits/spike)")
        ax.set_ylabel(f"{network} (bits/spike)")
        above = int((table[network] > table[chain]).sum())
        ax.set_title(f"{above} of {len(table)} units above the diagonal", loc="left")
    return fig, table


def scores(rates: np.ndarray, base: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits/spike of each unit over `base`: expected counts and counts (trial, time, unit), NaN where missing."""
    rates, base = (np.maximum(r.astype(float), MIN_RATE) for r in (rates, base))
    gain = np.nansum(y * np.log(rates / base) - (rates - base), (0, 1))
    spikes = np.nansum(y, (0, 1))
    return np.where(spikes > 0, gain / (np.maximum(spikes, 1) * np.log(2)), np.nan)
