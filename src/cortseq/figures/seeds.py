"""How much two models differ, with the distance between seeds of one model as the ruler."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.laboratory import SAME_POINT
from cortseq.dynamics.quantities import NEAR
from cortseq.dynamics.similarity import against_seeds, linear_map, match_fixed_points, spectral_distance
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw how far models lie apart in their dynamics, measured by how far two seeds of one model do.

    `dissections`: variant -> product of `dynamics`. Above: Wasserstein distance between the Jacobian spectra
    of every two members, at the closed loop's fixed point nearest to the data; between models in units of the
    distance within them, 1: no further apart than two seeds, bold: p < 0.05 by permutation of the members
    (not corrected for the number of pairs). Below: R^2 of the states of the model of a column told by a
    linear map from those of a row on held-out trials; share of the fixed points near the data of a row that a
    column has. Diagonals: two seeds.
    """
    with style.style():
        spectra = {name: _spectra(one) for name, one in dissections.items()}
        table = _distances(spectra)
        pairs, names = _pairs(table, spectra), list(dissections)
        told, points = (_square(dissections, f) for f in (_told, _shared_points))
        if len(names) == 1:  # nothing to compare restarts with
            fig, axes = style.figure(1, 1, style.COLUMN, 3.2)
            _matrix(fig, axes[0, 0], table)
            said = f"states told by another restart: R² {told.iloc[0, 0]:.2f}\n"
            said += f"fixed points found again: {points.iloc[0, 0]:.2f} of them"
            axes[0, 0].set_title(f"{said}\n{axes[0, 0].get_title('left')}", loc="left", fontsize=7.5)
        else:
            fig, axes = style.figure(2, 2, style.PAGE, 6.4)
            _matrix(fig, axes[0, 0], table)
            _numbers(fig, axes[0, 1], *_ratios(pairs, names), _title(spectra), "ratio")
            _numbers(fig, axes[1, 0], told, set(), "states told by a linear map (open)", "R²", top=1.0)
            _numbers(fig, axes[1, 1], points, set(), "fixed points found again (closed)", "share", top=1.0)
    long = (
        t.rename_axis("a").reset_index().melt("a", var_name="b", value_name="value").assign(kind=kind)
        for kind, t in (("states told", told), ("fixed points shared", points))
    )
    return fig, pd.concat(
        [table.assign(kind="members"), pairs.assign(kind="models"), *long], ignore_index=True
    )


def _ratios(pairs: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, set[tuple[str, str]]]:
    """Return the ratios of models, each pair once, and which are bold."""
    ratios = pd.DataFrame(np.nan, index=names[1:], columns=names[:-1])
    for row in pairs.itertuples():
        ratios.loc[row.b, row.a] = row.ratio
    return ratios, {(row.b, row.a) for row in pairs.itertuples() if row.p_value < 0.05}


def _title(spectra: dict[str, list[Any]]) -> str:
    """Title of the ratios; it says where no number can be bold, whatever the data."""
    sizes = sorted((len(rows) for rows in spectra.values() if len(rows) > 1), reverse=True)[:2]
    title = "spectra (closed): between models / members of one"
    if len(sizes) < 2:
        return title
    ways = comb(sum(sizes), sizes[0])
    smallest = (2 if sizes[0] == sizes[1] else 1) / ways
    return (
        title
        if smallest < 0.05
        else f"{title}\nnone bold: {sizes[0]} + {sizes[1]} members reach p = {smallest:.2g}"
    )


def _spectra(one: xr.Dataset) -> list[np.ndarray]:
    """Eigenvalues of the members that have a fixed point."""
    values = one["nearest_eigenvalues_real"].values + 1j * one["nearest_eigenvalues_imag"].values
    return [row for row in values if np.isfinite(row).all()]


def _distances(spectra: dict[str, list[Any]]) -> pd.DataFrame:
    """Of every two members, each pair computed once."""
    every = [(name, m, row) for name, rows in spectra.items() for m, row in enumerate(rows)]
    apart = np.zeros((len(every), len(every)))
    for i, j in zip(*np.tril_indices(len(every), -1), strict=True):
        apart[i, j] = apart[j, i] = spectral_distance(every[i][2], every[j][2])
    rows = [
        {"a": a, "member_a": i, "b": b, "member_b": j, "distance": apart[x, y]}
        for x, (a, i, _) in enumerate(every)
        for y, (b, j, _) in enumerate(every)
    ]
    return pd.DataFrame(rows, columns=["a", "member_a", "b", "member_b", "distance"])


def _pairs(table: pd.DataFrame, spectra: dict[str, list[Any]]) -> pd.DataFrame:
    names, rows = list(spectra), []
    known = {((r.a, r.member_a), (r.b, r.member_b)): r.distance for r in table.itertuples()}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            members = [[(name, m) for m in range(len(spectra[name]))] for name in (a, b)]
            if min(map(len, members)) > 1:
                found = against_seeds(lambda x, y: known[x, y], members[0], members[1])
                rows.append({"a": a, "b": b, "ratio": found.ratio, "p_value": found.p_value})
    return pd.DataFrame(rows, columns=["a", "b", "ratio", "p_value"])


def _square(dissections: dict[str, xr.Dataset], compare: Callable[..., Any]) -> pd.DataFrame:
    names = list(dissections)
    values = [[compare(dissections[a], dissections[b], a == b) for b in names] for a in names]
    return pd.DataFrame(values, index=names, columns=names)


def _told(a: xr.Dataset, b: xr.Dataset, seeds: bool) -> float:
    """R^2 of the states of b (member 0) from those of a, learned on half of the trials, on the other half."""
    if seeds:
        return float(np.nanmean(a["states_r2"].values)) if "states_r2" in a else np.nan
    n = a.sizes["trial"]
    if n < 2 or a["states"].shape[:2] != b["states"].shape[:2]:
        return np.nan
    halves = np.arange(n // 2), np.arange(n // 2, n)
    return linear_map(a["states"].values, b["states"].values, *halves).r2


def _shared_points(a: xr.Dataset, b: xr.Dataset, seeds: bool) -> float:
    """Share of a's points near the data that b has, mean over pairs of members (one model: of two seeds)."""
    values = []
    scale = float(a["expected_spread"].mean())
    for i in range(a.sizes["member"]):
        for j in range(b.sizes["member"]):
            if seeds and i == j:
                continue
            ours = a["expected"].values[i][a["distance"].values[i] <= NEAR]
            theirs = b["expected"].values[j]
            theirs = theirs[np.isfinite(theirs).all(1)]
            if len(ours):
                same = match_fixed_points(ours, theirs, SAME_POINT, scale) if len(theirs) else None
                values.append(same.recall if same else 0.0)
    return float(np.mean(values)) if values else np.nan


def _matrix(fig: Figure, ax: Axes, table: pd.DataFrame) -> None:
    ax.set_title("Jacobian spectra of members (closed)", loc="left", fontsize=7.5)
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


def _numbers(
    fig: Figure,
    ax: Axes,
    square: pd.DataFrame,
    bold: set[tuple[str, str]],
    title: str,
    label: str,
    top: Any = None,
) -> None:
    """Draw a matrix with its numbers; from row to column."""
    ax.set_title(title, loc="left", fontsize=7.5)
    values = square.to_numpy()
    if not np.isfinite(values).any():
        style.say(ax, "needs two models with two members each")
        return
    image = ax.imshow(values, cmap="viridis", vmin=0, vmax=top)
    fig.colorbar(image, ax=ax, shrink=0.75, label=label)
    middle = (top or np.nanmax(values)) / 2
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            weight = "bold" if (square.index[i], square.columns[j]) in bold else "normal"
            text = f"{value:.2f}" if top else f"{value:.1f}"
            colour = "w" if value < middle else "k"
            ax.text(j, i, text, ha="center", va="center", fontsize=5.5, weight=weight, color=colour)
    _ticks(ax, np.arange(len(square)), square.index)
    ax.set_xticks(np.arange(len(square.columns)), [style.wrapped(n, 12) for n in square.columns])


def _ticks(ax: Axes, at: Any, names: Any) -> None:
    ax.set_xticks(at, [style.wrapped(n, 12) for n in names], rotation=90)
    ax.set_yticks(at, [style.wrapped(n, 12) for n in names])
    ax.tick_params(length=0, labelsize=6)


FIGURE = base.of_dynamics(
    title="Differences between models and between restarts",
    caption=(
        "Whether two models tell different stories, with the difference between random restarts of one "
        "model as the ruler: restarts differ by what the data do not decide, and models say something "
        "different only where they are further apart than that. Bold ratios: further apart than the restarts "
        "of one model in 95 % of the ways of dealing them to two models, which takes four restarts of each: "
        "two or three can be dealt in too few ways. Lower panels: read from row to column; "
        "their diagonals compare one restart with another. Of a single model only its restarts are compared."
    ),
    draw=draw,
    place=330,
    printed=False,
)
