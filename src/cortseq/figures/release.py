"""Plastic synapses through the trial: facilitation, resources and release, and a cue that hides in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw what plastic synapses do through a trial.

    `dissections`: variant -> product of `dynamics`, of plastic networks. First row: u, x (means over units
    and test trials, a line a member) and the release u x (median and 80 % of the units, member 0). Second:
    release of each synapse (member 0) at a constant rate: falling lines pass low rates on, lines with a peak
    a band. Third, where trials have a label: area under the ROC curve of the cue read in each bin from the
    rates and from u x; chance is 0.5.
    """
    with style.style():
        n = len(dissections)
        told = any("cue_from_rates" in one for one in dissections.values())
        width = max(style.COLUMN, min(style.PAGE, 2.4 * n))
        fig, axes = style.figure(2 + told, n, width, 4.0 + 1.8 * told, sharey="row")
        tables = []
        for column, (name, one) in zip(axes.T, dissections.items(), strict=True):
            tables += [t.assign(variant=name) for t in (_table(one), _responses(one))]
            time = "time in trial (s)" if style.timed(one) else "position (symbols)"
            _synapses(column[0], name, one)
            column[0].set_xlabel(time)
            _filter(column[1], one)
            if told:
                _cue(column[2], one)
                column[2].set_xlabel(time)
        axes[0, 0].set_ylabel("u, x, u x")
        axes[1, 0].set_ylabel("u x at a constant rate")
        if told:
            axes[2, 0].set_ylabel("cue decoded (AUC)")
        named: dict[str, Any] = {}
        for ax in axes.flat:
            handles, names = ax.get_legend_handles_labels()
            named |= {name: h for name, h in zip(names, handles, strict=True) if name not in named}
        fig.legend(named.values(), named, loc="outside lower center", ncols=2 if n > 1 else 1)
        fig.suptitle("map: open (recorded input)", fontsize=7, color="0.4")
    return fig, pd.concat(tables, ignore_index=True)


def _responses(one: xr.Dataset) -> pd.DataFrame:
    values = one["efficacy_at_rate"].values[0]
    unit, at = np.indices(values.shape)
    columns = {"unit": unit.ravel(), "rate": one["rate"].values[at.ravel()], "efficacy": values.ravel()}
    return pd.DataFrame({"kind": "frequency response", "member": 0, **columns})


def _filter(ax: Axes, one: xr.Dataset) -> None:
    rates, values = one["rate"].values, one["efficacy_at_rate"].values[0]
    rises = values.argmax(1) > 0
    for mine, colour, label in (
        (rises, style.PINK, "synapse with a peak (band-pass)"),
        (~rises, style.BLACK, "falling synapse (low-pass)"),
    ):
        if mine.any():
            shown = ax.plot(rates, values[mine].T, color=colour, lw=0.5, alpha=0.6)
            shown[0].set_label(label)
    ax.set_xscale("log")
    ax.set_xlabel(f"presynaptic rate ({'Hz' if style.timed(one) else '1/symbol'})")
    ax.set_title(f"{rises.sum()} of {len(rises)} synapses pass a band", loc="left", fontsize=7.5)


def _table(one: xr.Dataset) -> pd.DataFrame:
    member, time = np.meshgrid(np.arange(one.sizes["member"]), one["time"].values, indexing="ij")
    columns = {"member": member.ravel(), "time": time.ravel()}
    for name in ("use", "resource", "cue_from_rates", "cue_from_efficacy"):
        if name in one:
            columns[name] = one[name].values.ravel()
    for i, name in enumerate(("efficacy_10", "efficacy_50", "efficacy_90")):
        columns[name] = one["efficacy"].values[i].ravel()
    return pd.DataFrame({"kind": "time", **columns})


def _synapses(ax: Axes, name: str, one: xr.Dataset) -> None:
    time, low, median, high = one["time"].values, *one["efficacy"].values[:, 0]
    ax.fill_between(time, low, high, color=style.GREEN, alpha=0.2, lw=0)
    ax.plot(time, median, color=style.GREEN, label="release u x (median, 80 %)")
    for member in range(one.sizes["member"]):
        for variable, colour, label in (
            ("use", style.ORANGE, "facilitation u"),
            ("resource", style.BLUE, "resources x"),
        ):
            ax.plot(
                time, one[variable].values[member], color=colour, lw=0.9, label=label if member == 0 else None
            )
    ax.set_ylim(0, 1.02)
    ax.set_title(style.wrapped(name), loc="left", fontsize=7.5)


def _cue(ax: Axes, one: xr.Dataset) -> None:
    if "cue_from_rates" not in one:
        style.say(ax, "no label of the trial to read")
        return
    for variable, colour, label in (
        ("cue_from_rates", "k", "from rates"),
        ("cue_from_efficacy", style.GREEN, "from u x"),
    ):
        for member, trace in enumerate(one[variable].values):
            ax.plot(one["time"].values, trace, color=colour, lw=0.9, label=label if member == 0 else None)
    ax.axhline(0.5, color="0.6", lw=0.7)
    ax.set_title(f"cue: {one.attrs['label_name'].replace('_', ' ')}", loc="left", fontsize=7.5)


def read(products: Products) -> dict[str, Any]:
    """Plastic networks only."""
    return base.dissections(products, "efficacy")


def applies(facts: Facts) -> bool:
    """Whether some network has plastic synapses."""
    return facts.plastic


FIGURE = base.Figure(
    title="Plastic synapses",
    caption=(
        "What synapses with short-term plasticity do during a trial. Top: facilitation u and resources x on "
        "test trials (means over units, a line for each random restart) and the release u x of the first "
        "restart (green: median, band: 80 % of its units). Below: what each synapse of the first restart "
        "releases at a constant rate; a falling line (black) passes low rates, a line with a peak (pink) a "
        "band of rates. Where trials have a label, the last row shows how well it is read from the rates and "
        "from u x (chance: 0.5): a memory is silent where it is read from u x and not from the rates."
    ),
    needs=base.DISSECTED,
    applies=applies,
    read=read,
    draw=draw,
    place=320,
    printed=False,
)
