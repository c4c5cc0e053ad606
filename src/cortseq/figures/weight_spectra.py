"""Eigenvalues of the recurrent weights with the circle their variance predicts, outliers marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw the eigenvalues of the recurrent weights beside those of random weights.

    `dissections`: variant -> product of `dynamics`; member 0. Circle: radius from the variances (per sign
    class under Dale's law); dashed: the same from the variances of every row and column; orange: p < 0.05
    against shuffled weights of the same row and column gains, largest modulus.
    """
    dissections = {name: one for name, one in dissections.items() if "weight_eigenvalues_real" in one}
    with style.style():
        columns = max(1, min(4, len(dissections)))
        rows = max(1, -(-len(dissections) // columns))
        fig, axes = style.figure(rows, columns, style.PAGE, 0.5 + 2.1 * rows)
        for ax in axes.flat[len(dissections) :]:
            ax.set_visible(False)
        tables = []
        for ax, (name, one) in zip(axes.flat, dissections.items(), strict=False):
            table = pd.DataFrame(
                {
                    "variant": name,
                    "real": one["weight_eigenvalues_real"].values[0],
                    "imag": one["weight_eigenvalues_imag"].values[0],
                    "p": one["outlier_p"].values[0],
                    "bulk_radius": float(one["bulk_radius"].values[0]),
                    **dict(zip(("profile_centre", "profile_radius"), _disc(one), strict=True)),
                }
            )
            tables.append(table)
            panel(ax, name, table)
        said = (
            "recurrent weights; circle: bulk predicted from their variance (dashed: of each row and column); "
            "orange: outliers, with the\n"
            "p-value of the largest (shuffled weights, gains of rows and columns kept; family-wise)"
        )
        none = "no network here is carried from bin to bin by one recurrent matrix"
        fig.suptitle(said if tables else none, fontsize=7, color="0.4")
    return fig, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"variant": []})


def _disc(one: xr.Dataset) -> np.ndarray:
    """Centre and radius; NaN of a single unit."""
    return one["weight_disc"].values[0] if "weight_disc" in one else np.full(2, np.nan)


def panel(ax: Axes, name: str, table: pd.DataFrame) -> None:
    """Draw eigenvalues with their circles; `table` has the columns that `draw` gives it."""
    angle, radius = np.linspace(0, 2 * np.pi, 200), table["bulk_radius"].iloc[0]
    ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="0.5", lw=0.8)
    centre, wide = table["profile_centre"].iloc[0], table["profile_radius"].iloc[0]
    ax.plot(centre + wide * np.cos(angle), wide * np.sin(angle), "--", color="0.5", lw=0.8)
    out = table["p"] < 0.05
    ax.plot(table["real"][~out], table["imag"][~out], ".", ms=3, color=style.BLUE)
    ax.plot(table["real"][out], table["imag"][out], "o", ms=4, color=style.ORANGE, mec="black", mew=0.5)
    reach = 1.1 * np.nanmax([radius, centre + wide, *np.abs(table[["real", "imag"]].to_numpy()).ravel()])
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    n = int(out.sum())
    ax.set_title(
        f"{style.wrapped(name)}\n{n} outlier{'s' * (n != 1)}, p = {table['p'].min():.2g}",
        loc="left",
        fontsize=7.5,
    )
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")


FIGURE = base.of_dynamics(
    title="Spectra of the recurrent weights",
    caption=(
        "Which directions of the recurrent weights of the first random restart stand out from chance. "
        "Circle: where the eigenvalues of random weights of the same variance end. An eigenvalue counts as "
        "an outlier (orange) if its modulus exceeds the largest of 95 % of matrices with shuffled "
        "weights. The shuffles keep the gain of each row and column, so that a unit with strong inputs or "
        "outputs is no outlier by itself; where units are either excitatory or inhibitory, weights change "
        "places within their class. LSTM: the candidate block."
    ),
    draw=draw,
    place=250,
    printed=False,
)
