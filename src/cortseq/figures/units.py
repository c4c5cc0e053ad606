"""Per-unit scores of the best network against those of the best Markov chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.figures import base, style
from cortseq.metrics import BIT
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products


def draw(products: dict[str, list[xr.Dataset]]) -> tuple[Figure, pd.DataFrame]:
    """Draw the best network's score of each unit against the best chain's.

    `products`: score products (one a fold) of null, the network and the chain, in this order. A dot a unit:
    mean-rate score over the training mean, sum log Pois(y; E[y | past]) in bits per spike, mean over members;
    area: spikes.
    """
    _, network, chain = products
    table = per_unit(products)
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


def per_unit(products: dict[str, list[xr.Dataset]]) -> pd.DataFrame:
    """Return a row per unit that spikes in test trials: unit, spikes, bits/spike over the first model.

    Folds may keep different units: each is scored in the folds that keep it.
    """
    null, *others = products
    sums = {name: _unit_sums(folds) for name, folds in products.items()}
    table = pd.DataFrame({"spikes": sums[null]["unit_events"]})
    for name in others:
        gain = sums[name]["unit_score"] - sums[null]["unit_score"]
        table[name] = gain / (table["spikes"].replace(0, np.nan) * BIT)
    return table[table["spikes"] > 0].rename_axis("unit").reset_index()


def _unit_sums(folds: list[xr.Dataset]) -> pd.DataFrame:
    """unit_score (mean over members) and unit_events summed over test trials and folds, by unit."""
    each = []
    for fold in folds:
        test = fold.isel(trial=np.flatnonzero(fold["role"].values == "test"))
        sums = test[["unit_score", "unit_events"]].sum("trial")
        score = sums["unit_score"].mean("member").values
        index = pd.Index(fold["unit"].values, name="unit")
        each.append(pd.DataFrame({"unit_score": score, "unit_events": sums["unit_events"].values}, index))
    return pd.concat(each).groupby(level=0, sort=False).sum()


def read(products: Products) -> dict[str, Any]:
    """Scores of all folds of the null, the network and the chain that validation chose."""
    table = products.read("variants")
    best = [base.chosen(table, products.dataset, role)[0] for role in ("recurrent", "markov")]
    return {"products": {name: products.folds("scores", name)[name] for name in ["null", *best]}}


def applies(facts: Facts) -> bool:
    """Whether counts were fitted by a network and a chain."""
    return TRACKS[facts.track].has_events and {"recurrent", "markov"} <= facts.roles


FIGURE = base.Figure(
    title="Unit by unit",
    caption=(
        "Whether the network's advantage is shared by many units or carried by few. Each dot is a unit "
        "(area: its spikes); axes: how well the expected counts of the best network and of the best "
        "Markov chain predict that unit's test spikes, in bits per spike over its training mean. Units "
        "above the diagonal are predicted better by the network."
    ),
    needs=("variants", "scores"),
    applies=applies,
    read=read,
    draw=draw,
    place=130,
)
