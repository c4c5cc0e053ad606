"""Members side by side: how much two models differ, with the distance between seeds of one model as the ruler."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cortseq.dynamics.similarity import against_seeds, spectral_distance
from cortseq.figures import style


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`dissections`: variant -> product of `dynamics`. Left: Wasserstein distance between the Jacobian spectra of every two members, at the closed
    loop's fixed point nearest to the data. Right: between models in units of the distance within them, 1: no further apart than two
    seeds; bold: p < 0.05 by permutation of the members (not corrected for the number of pairs)."""
    with style.style():
        spectra = {name: _spectra(one) for name, one in dissections.items()}
        table = _distances(spectra)
        pairs = _pairs(spectra)
        width = style.PAGE
        fig, axes = style.figure(1, 2, width, 3.6)
        _matrix(fig, axes[0, 0], table)
        _ratios(fig, axes[0, 1], pairs, list(spectra))
    return fig, pd.concat([table.assign(kind="members"), pairs.assign(kind="models")], ignore_index=True)


def _spectra(one: xr.Dataset) -> list[np.ndarray]:
    """Eigenvalues of the members that have a fixed point."""
    values = one["nearest_eigenvalues_real"].values + 1j * one["nearest_eigenvalues_imag"].values
    return [row for row in values if np.isfinite(row).all()]


def _distances(spectra: dict[str, list]) -> pd.DataFrame:
    every = [(name, m, row) for name, rows in spectra.items() for m, row in enumerate(rows)]
    return pd.DataFrame(
        [
            {"a": a, "member_a": i, "b": b, "member_b": j, "distance": spectral_distance(x, y)}
            for a, i, x in every
            for b, j, y in every
        ],
        columns=["a", "member_a", "b", "member_b", "distance"],
    )


def _pairs(spectra: dict[str, list]) -> pd.DataFrame:
    names, rows = list(spectra), []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if min(len(spectra[a]), len(spectra[b])) > 1:
                found = against_seeds(spectral_distance, spectra[a], spectra[b])
                rows.append({"a": a, "b": b, "ratio": found.ratio, "p_value": found.p_value})
    return pd.DataFrame(rows, columns=["a", "b", "ratio", "p_value"])


def _matrix(fig, ax, table: pd.DataFrame) -> None:
    ax.set_title("distance of Jacobian spectra", loc="left", fontsize=7.5)
    if table.empty:
        style.say(ax, "no fixed point found")
        return
    labels = table[["a", "member_a"]].drop_duplicates()
    image = ax.imshow(table["distance"].to_numpy().reshape(len(labels), -1), cmap="cividis")
    fig.colorbar(image, ax=ax, shrink=0.75, label="Wasserstein distance")
    starts = np.flatnonzero(labels["member_a"].to_numpy() == 0)
    ends = np.append(starts[1:], len(labels))
    for edge in starts[1:]:
        ax.axhline(edge - 0.5, color="w", lw=0.8)
        ax.axvline(edge - 0.5, color="w", lw=0.8)
    names = labels["a"].to_numpy()[starts]
    _ticks(ax, (starts + ends - 1) / 2, names)


def _ratios(fig, ax, pairs: pd.DataFrame, names: list[str]) -> None:
    ax.set_title("between models / between seeds", loc="left", fontsize=7.5)
    if pairs.empty:
        style.say(ax, "needs two models with two members each")
        return
    square = pd.DataFrame(np.nan, index=names, columns=names)
    for row in pairs.itertuples():
        square.loc[row.b, row.a] = row.ratio
    image = ax.imshow(square.to_numpy(), cmap="viridis", vmin=0)
    fig.colorbar(image, ax=ax, shrink=0.75, label="ratio of distances")
    middle = np.nanmax(square.to_numpy()) / 2
    for row in pairs.itertuples():
        at = names.index(row.a), names.index(row.b)
        weight = "bold" if row.p_value < 0.05 else "normal"
        colour = "w" if row.ratio < middle else "k"
        ax.text(*at, f"{row.ratio:.1f}", ha="center", va="center", fontsize=6, weight=weight, color=colour)
    _ticks(ax, np.arange(len(names)), names)


def _ticks(ax, at, names) -> None:
    ax.set_xticks(at, [style.wrapped(n, 12) for n in names], rotation=90)
    ax.set_yticks(at, [style.wrapped(n, 12) for n in names])
    ax.tick_params(length=0, labelsize=6)
