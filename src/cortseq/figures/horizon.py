"""Score against prediction horizon, for every model that forecasts, with the floor that knows no past."""

from __future__ import annotations

from itertools import cycle, product
from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Facts, Products
from cortseq.scoring import tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(table: pd.DataFrame, metric: str) -> tuple[Figure, pd.DataFrame]:
    """Draw `scoring.tasks.horizon_table`: gain over the null against the horizon, colours by role.

    Solid: forecasts, bars 95 % intervals, hollow where too few futures leave a bias; dotted: the expectation
    fed forward ("plug-in", no likelihood of y_t given its past); grey: models that know no past.
    """
    with style.style():
        fig, axes = style.figure(1, 1, 0.8 * style.PAGE, 3.2)
        ax = axes[0, 0]
        shown = table[table["model"] != "null"]
        # colours of the role, and another marker where these begin again
        looks = {role: cycle(product("osD^v", colours)) for role, colours in _COLOURS.items()}
        for model, rows in shown.groupby("model", sort=False):
            flat = _knows_no_past(str(model), rows)
            marker, colour = ("", style.GREY) if flat else next(looks[rows["role"].iloc[0]])
            for kind, line in rows.groupby("kind", sort=False):
                label = f"{model} ({'no past' if flat else kind})"
                _line(ax, line, str(kind), colour, marker, "--" if flat else "-", label)
        ax.axhline(0, color="0.8", lw=0.7, zorder=0)
        if table["horizon"].nunique() > 1:
            ax.set_xscale("log", base=2)
        ax.set_xticks(sorted(table["horizon"].unique()), sorted(table["horizon"].unique()))
        ax.minorticks_off()
        values = shown.loc[shown["kind"] != "plug-in", ["low", "high"]]  # a plug-in may be far below
        if values.notna().to_numpy().any():
            low, high = min(0.0, values["low"].min()), max(0.0, values["high"].max())
            room = 0.06 * (high - low) or 1.0
            ax.set_ylim(low - room, high + room)
        ax.set_xlabel(f"{style.steps(metric)} ahead")
        ax.set_ylabel(f"gain over the null ({METRICS[metric].label})")
        ax.set_title(f"{int(table['trials'].max())} test trials; dotted: plug-in, no likelihood", loc="left")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return fig, table


_COLOURS = {
    "markov": [style.ROLE_COLOURS["markov"]],
    "recurrent": [style.ROLE_COLOURS["recurrent"], style.GREEN, style.PINK, style.SKY, style.ORANGE],
    "baseline": [style.BLACK],
    "null": [style.GREY],
}


def _knows_no_past(model: str, rows: pd.DataFrame) -> bool:
    """Return whether a model's forecasts are the same by every horizon; one horizon alone tells nothing."""
    same = rows["horizon"].nunique() > 1 and rows["value"].nunique() == 1
    return bool(same or rows["role"].iloc[0] == "null" or model == "psth")


def _line(ax: Axes, line: pd.DataFrame, kind: str, colour: str, marker: str, dashes: str, label: str) -> None:
    """Draw one model's forecasts of one kind."""
    if kind == "plug-in":
        ax.plot(line["horizon"], line["value"], ":", color=colour, lw=1)
        return
    bars = [line["value"] - line["low"], line["high"] - line["value"]]
    ax.errorbar(
        line["horizon"],
        line["value"],
        bars,
        marker=marker,
        ls=dashes,
        ms=3,
        color=colour,
        elinewidth=0.6,
        label=label,
    )
    few = line[line["biased"]]
    ax.plot(few["horizon"], few["value"], marker, color=colour, mfc="white", ms=4, zorder=4)


def read(products: Products) -> dict[str, Any]:
    """Read the forecasts of all folds, model by model."""
    folds = products.folds("forecasts")
    table = tasks.horizon_table(folds, int(folds["null"][0].attrs["burn_in"]))
    return {"table": table, "metric": base.metric(base.comparison(products), products.dataset)}


def applies(facts: Facts) -> bool:
    """Whether the study asks for forecasts."""
    return bool(facts.tasks.get("forecasts"))


FIGURE = base.Figure(
    title="Predictions further ahead",
    caption=(
        "How fast predictions lose their worth with distance: gain over the null of predictions several "
        "bins ahead, scored on the same bins at every distance. A curve that meets the dashed lines "
        "(models that know no past) has nothing left to say there. Networks: mean probability over "
        "sampled futures, corrected for the bias of few futures. A hollow point may still be too low by a "
        "tenth of its interval or more: do not compare it with other points. Red: Markov chains; black: "
        "other models that are no networks. Label chain: a Markov chain "
        "over population states follows the labels of the states ahead, which is not its own one-step law "
        "applied repeatedly. Dotted: the network's expectation fed back instead of samples, shown for "
        "comparison because it is not a likelihood."
    ),
    needs=("comparison", "forecasts"),
    applies=applies,
    read=read,
    draw=draw,
    place=140,
)
