"""Leading Lyapunov exponents of the closed loop, member by member, with the verdict on chaos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """`dissections`: variant -> product of `dynamics`. Bars: two standard errors; above 0 states part."""
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
            "map: closed (mean); a colour a member; bars: 2 standard errors", fontsize=7, color="0.4"
        )
    return fig, pd.concat(tables, ignore_index=True)


def _table(one: xr.Dataset) -> pd.DataFrame:
    columns = ["member", "index", "exponent", "standard_error", "verdict"]
    if "lyapunov" not in one:
        return pd.DataFrame(columns=columns)
    values, errors = one["lyapunov"].values, one["lyapunov_error"].values
    member, index = np.indices(values.shape)
    parts = member.ravel(), index.ravel() + 1, values.ravel(), errors.ravel()
    return pd.DataFrame(dict(zip(columns, parts, strict=False))).assign(verdict=one.attrs["chaotic"])


def _panel(ax: Axes, name: str, one: xr.Dataset, table: pd.DataFrame) -> None:
    ax.set_title(f"{style.wrapped(name)}\n{_verdict(one)}", loc="left", fontsize=7.5)
    if table.empty:
        style.say(ax, "the closed loop runs away")
        return
    ax.axhline(0, color="0.5", lw=0.8)
    members = table.groupby("member")
    for i, (member, rows) in enumerate(members):
        shift = 0.5 * (i - (len(members) - 1) / 2) / len(members)
        finite = rows[np.isfinite(rows["exponent"])]
        ax.errorbar(
            finite["index"] + shift,
            finite["exponent"],
            2 * finite["standard_error"],
            fmt="o",
            ms=2.5,
            lw=0.8,
            color=style.CYCLE[int(member) % len(style.CYCLE)],
        )
    ax.set_xlabel("rank of the exponent")
    ax.set_xticks(range(1, int(table["index"].max()) + 1))


def _verdict(one: xr.Dataset) -> str:
    """Return the verdict, with its reason in words where it is none."""
    verdict, reason = one.attrs["chaotic"], one.attrs.get("chaotic_reason", "")
    return style.wrapped(f"{verdict}: {reason}", 24) if verdict == "no verdict" and reason else verdict


FIGURE = base.of_dynamics(
    title="Lyapunov exponents",
    caption=(
        "Whether nearby states of the closed loop part (exponent above 0: chaos) or meet (below 0). A "
        "network is called chaotic only where the 95 % interval over at least five random restarts, each "
        "from ten starting points, lies above zero and every restart agrees. It is called not chaotic where "
        "that interval is below zero; with three or four restarts, where the interval of each over its "
        "starting points is, which says so of these networks only."
    ),
    draw=draw,
    place=270,
)
