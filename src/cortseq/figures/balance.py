"""Excitatory and inhibitory currents of networks under Dale's law, and how far they cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.balance import typical_lag
from cortseq.dynamics.quantities import mean_of_known
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw currents and balance of networks under Dale's law.

    `dissections`: variant -> product of `dynamics`. Above: currents through the trial, mean over units and
    test trials, a line a member. Below: balance index |E + I| / (|E| + |I|) of every unit, 0 where they
    cancel. Mean index and lag of inhibition behind excitation are those of the table of dynamics.
    """
    with style.style():
        n = len(dissections)
        fig, axes = style.figure(2, n, max(style.COLUMN, min(style.PAGE, 2.4 * n)), 4.0)
        tables = []
        for column, (name, one) in zip(axes.T, dissections.items(), strict=True):
            tables += [t.assign(variant=name) for t in (_currents(one), _indices(one))]
            _traces(column[0], name, one)
            _histogram(column[1], one, tables[-1])
        fig.suptitle("map: open (recorded input)", fontsize=7, color="0.4")
        axes[0, 0].set_ylabel("current (units of activity)")
        axes[1, 0].set_ylabel("units")
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig, pd.concat(tables, ignore_index=True)


def _currents(one: xr.Dataset) -> pd.DataFrame:
    member, time = np.meshgrid(np.arange(one.sizes["member"]), one["time"].values, indexing="ij")
    columns = {name: one[name].values.ravel() for name in ("excitation", "inhibition")}
    return pd.DataFrame({"kind": "current", "member": member.ravel(), "time": time.ravel(), **columns})


def _indices(one: xr.Dataset) -> pd.DataFrame:
    values = one["balance_index"].values
    member, unit = np.indices(values.shape)
    columns = {"balance_index": values.ravel(), "tracking_lag": one["tracking_lag"].values.ravel()}
    return pd.DataFrame({"kind": "unit", "member": member.ravel(), "unit": unit.ravel(), **columns})


def _traces(ax: Axes, name: str, one: xr.Dataset) -> None:
    for member in range(one.sizes["member"]):
        e, i = one["excitation"].values[member], one["inhibition"].values[member]
        for trace, colour, label in (
            (e, style.RED, "excitatory"),
            (i, style.BLUE, "inhibitory"),
            (e + i, "k", "sum"),
        ):
            ax.plot(one["time"].values, trace, color=colour, lw=1.0, label=label if member == 0 else None)
    ax.axhline(0, color="0.6", lw=0.7)
    ax.set_xlabel("time in trial (s)" if style.timed(one) else "position (symbols)")
    ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)


def _histogram(ax: Axes, one: xr.Dataset, table: pd.DataFrame) -> None:
    known = table["balance_index"].dropna()
    ax.hist(known, bins=np.linspace(0, 1, 21).tolist(), color=style.GREY)
    mean = np.nanmean(mean_of_known(one["balance_index"].values, 1))
    ax.set_title(f"mean {mean:.2f}\n{_lag(one)}", loc="left", fontsize=7.5)
    ax.set_xlabel("balance index")


def _lag(one: xr.Dataset) -> str:
    """Return the lag, mean over members, and how many units of all members have one."""
    lags = one["tracking_lag"].values
    per_member = np.array([typical_lag(row) for row in lags])
    per_member = per_member[np.isfinite(per_member)]
    of_units = f"{np.isfinite(lags).sum()} of {lags.size} units"
    unit = "bins" if style.timed(one) else "symbols"
    return f"lag {per_member.mean():+.1f} {unit} ({of_units})" if len(per_member) else f"lag: only {of_units}"


def read(products: Products) -> dict[str, Any]:
    """Networks under Dale's law only."""
    return base.dissections(products, "balance_index")


def applies(facts: Facts) -> bool:
    """Whether some network obeys Dale's law."""
    return facts.signed


FIGURE = base.Figure(
    title="Excitation and inhibition",
    caption=(
        "Whether excitatory and inhibitory currents cancel in networks whose units are either excitatory "
        "or inhibitory (Dale's law). Above: mean currents on test trials; input and bias count by their "
        "sign. Below: balance index of every unit, 0 where the currents cancel; its mean over units and "
        "random restarts. Lag: by how much inhibition follows excitation where their correlation peaks, "
        "median over the units that have such a peak, mean over the restarts in which half of the units do "
        "(in brackets: how many units do, of all restarts)."
    ),
    needs=base.DISSECTED,
    applies=applies,
    read=read,
    draw=draw,
    place=310,
    printed=False,
)
