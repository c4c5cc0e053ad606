"""Leading Lyapunov exponents of the closed loop, member by member, with the verdict on chaos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics import summary
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`dissections`: variant -> product of `dynamics`. Above 0 states part.

    Filled, rank 1: the mean over starts, which the verdict rests on, with two standard errors over these.
    Hollow: the spectrum from one start, with two standard errors over time.
    """
    with style.style():
        columns = min(4, len(dissections))
        rows = -(-len(dissections) // columns)
        fig, axes = style.figure(rows, columns, style.PAGE, 0.5 + 2.0 * rows)
        for ax in axes.flat[len(dissections) :]:
            ax.set_visible(False)
        tables = []
        for ax, (name, one) in zip(axes.flat, dissections.items(), strict=False):
            tables.append(_table(one).assign(variant=name))
            _panel(ax, name, one, tables[-1])
        for ax in axes[:, 0]:
            ax.set_ylabel(
                f"exponent (nats/{'bin' if style.timed(next(iter(dissections.values()))) else 'symbol'})"
            )
        fig.suptitle(
            "map: closed (mean); a colour a member; filled: mean over starts; hollow: from one start; "
            "bars: 2 standard errors",
            fontsize=7,
            color="0.4",
        )
    return fig, pd.concat(tables, ignore_index=True)


_COLUMNS = ["member", "index", "exponent", "standard_error", "starts"]


def _table(one: xr.Dataset) -> pd.DataFrame:
    """Return one row per member and rank; rank 1 is the mean over starts where these were followed."""
    if "lyapunov" not in one:
        return pd.DataFrame(columns=[*_COLUMNS, "verdict"])
    values, errors = one["lyapunov"].values.copy(), one["lyapunov_error"].values.copy()
    starts = np.ones(values.shape, int)
    if "leading_exponents" in one:
        leading = one["leading_exponents"].values
        n = leading.shape[1]
        values[:, 0], errors[:, 0] = leading.mean(1), leading.std(1, ddof=1) / np.sqrt(n)
        starts[:, 0] = n
    member, index = np.indices(values.shape)
    parts = member.ravel(), index.ravel() + 1, values.ravel(), errors.ravel(), starts.ravel()
    return pd.DataFrame(dict(zip(_COLUMNS, parts, strict=True))).assign(verdict=summary.chaos(one))


def _panel(ax: Axes, name: str, one: xr.Dataset, table: pd.DataFrame) -> None:
    said = style.wrapped(summary.chaos(one).removeprefix("identified: "), 26)
    ax.set_title(f"{style.wrapped(name)}\n{said}", loc="left", fontsize=7.5)
    if table.empty:
        style.say(ax, "the closed loop runs away")
        return
    ax.axhline(0, color="0.5", lw=0.8)
    members = table.groupby("member")
    for i, (member, rows) in enumerate(members):
        shift = 0.5 * (i - (len(members) - 1) / 2) / len(members)
        colour, finite = style.CYCLE[int(member) % len(style.CYCLE)], rows[np.isfinite(rows["exponent"])]
        for over_starts, same in finite.groupby(finite["starts"] > 1):
            ax.errorbar(
                same["index"] + shift,
                same["exponent"],
                2 * same["standard_error"],
                fmt="o",
                ms=2.5,
                lw=0.8,
                color=colour,
                mfc=colour if over_starts else "white",
                mew=0.6,
            )
    ax.set_xlabel("rank of the exponent")
    ax.set_xticks(range(1, int(table["index"].max()) + 1))


FIGURE = base.of_dynamics(
    title="Lyapunov exponents",
    caption=(
        "Whether nearby states of the closed loop part (exponent above 0: chaos) or meet (below 0). Filled "
        "points, rank 1: the largest exponent of each random restart, its mean over ten starting points, "
        "with two standard errors over these. Hollow points: the other exponents, "
        "from the first starting point only, with two standard errors over time. Titles: the verdict that "
        "the claims and the table of the dynamics give as well. It rests on the filled points: chaotic, or "
        "not chaotic, is said where the largest exponent has the same sign in every restart and the 95 % "
        "interval over at least five of them leaves out 0 (of three or four restarts only that these are "
        "not chaotic)."
    ),
    draw=draw,
    place=270,
)
