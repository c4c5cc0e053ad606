"""Score against prediction horizon, for every model that forecasts, with the floor that knows no past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products
from cortseq.scoring import tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    table: pd.DataFrame, metric: str, looks: dict[str, style.Look] | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw `scoring.tasks.horizon_table`: gain over the null against the horizon, names at the ends of lines.

    Solid: forecasts, bars 95 % intervals, hollow where too few futures leave a bias; dotted: the expectation
    fed forward ("plug-in", no likelihood of y_t given its past); dashed: models that know no past. `looks`:
    of the models, by their names.
    """
    looks = looks or style.looks(zip(table["model"], table["role"], strict=True))
    with style.style():
        fig, axes = style.figure(1, 1, style.PAGE, 3.9)
        ax = axes[0, 0]
        shown, ends = table[table["model"] != "null"], []
        if table["horizon"].nunique() > 1:
            ax.set_xscale("log", base=2)
        for model, rows in shown.groupby("model", sort=False):
            flat, look = _knows_no_past(str(model), rows), looks[str(model)]
            for kind, line in rows.groupby("kind", sort=False):
                _line(ax, line, str(kind), look, "--" if flat else "-")
                last = line.sort_values("horizon").iloc[-1]
                label = f"{model} ({'no past' if flat else kind})"
                if kind != "plug-in":
                    ends.append((label, last["horizon"], last["value"], look.colour))
        ax.axhline(0, color="0.8", lw=0.7, zorder=0)
        ax.set_xticks(sorted(table["horizon"].unique()), sorted(table["horizon"].unique()))
        ax.minorticks_off()
        low = _limits(ax, shown)
        ax.set_xlabel(f"{style.steps(metric)} ahead")
        ax.set_ylabel(f"gain over the null ({METRICS[metric].label})")
        ax.set_title(f"{int(table['trials'].max())} test trials; dotted: plug-in, no likelihood", loc="left")
        style.name_ends(ax, [(_below(name, y, low), x, y, colour) for name, x, y, colour in ends])
    return fig, table


_ROOM = 0.15  # of the best score, below the null: models far below it would flatten all others


def _limits(ax: Axes, shown: pd.DataFrame) -> float:
    """Set the limits and return the lower one; plug-ins and scores far below the null go beyond it."""
    values = shown.loc[shown["kind"] != "plug-in", ["low", "high"]]
    if values.notna().to_numpy().any():
        high = max(0.0, values["high"].max())
        low = max(min(0.0, values["low"].min()), -_ROOM * high) if high else values["low"].min()
        room = 0.06 * (high - low) or 1.0
        ax.set_ylim(low - room, high + room)
    return float(ax.get_ylim()[0])


def _below(name: str, value: float, low: float) -> str:
    """Return the name of a line, with its last value where that lies below the axis."""
    return f"{name}: {value:.2f}, below the axis" if value < low else name


def _knows_no_past(model: str, rows: pd.DataFrame) -> bool:
    """Return whether a model's forecasts are the same by every horizon; one horizon alone tells nothing."""
    same = rows["horizon"].nunique() > 1 and rows["value"].nunique() == 1
    return bool(same or rows["role"].iloc[0] == "null" or model == "psth")


def _line(ax: Axes, line: pd.DataFrame, kind: str, look: style.Look, dashes: str) -> None:
    """Draw one model's forecasts of one kind; thin, if it is neither a network nor a chain."""
    aside = line["role"].iloc[0] == "baseline"
    common: dict[str, Any] = {"marker": look.marker, "color": look.colour, "ms": 3 if not aside else 2.5}
    if kind == "plug-in":
        ax.plot(line["horizon"], line["value"], ls=":", lw=1, mfc="none", mew=0.6, **common)
        return
    bars = [line["value"] - line["low"], line["high"] - line["value"]]
    width = 0.8 if aside else 1.2
    ax.errorbar(line["horizon"], line["value"], bars, ls=dashes, lw=width, elinewidth=0.6, **common)
    few = line[line["biased"]]
    ax.plot(few["horizon"], few["value"], look.marker, color=look.colour, mfc="white", ms=4, zorder=4)


def read(products: Products) -> dict[str, Any]:
    """Read the forecasts of all folds, model by model."""
    folds = products.folds("forecasts")
    table = tasks.horizon_table(folds, int(folds["null"][0].attrs["burn_in"]))
    rows = base.comparison(products)
    return {"table": table, "metric": base.metric(rows, products.dataset), "looks": base.looks(rows)}


def applies(facts: Facts) -> bool:
    """Whether the study asks for forecasts."""
    return bool(facts.tasks.get("forecasts"))


def _caption(facts: Facts) -> str:
    steps, chains = f"{TRACKS[facts.track].step}s", "markov" in facts.roles
    labels = chains and not TRACKS[facts.track].has_labels
    return (
        "How fast predictions lose their worth with distance: gain over the null of predictions several "
        f"{steps} ahead, scored on the same {steps} at every distance. A curve that meets the dashed lines "
        "(models that know no past) has nothing left to say there. Networks: mean probability over "
        "sampled futures, corrected for the bias of few futures. A hollow point may still be too low by a "
        "tenth of its interval or more: do not compare it with other points. "
        f"{'Orange-red: Markov chains; g' * chains or 'G'}rey to black: other models that are no networks. "
        f"{_LABEL_CHAIN * labels}Dotted: the network's expectation fed back instead of samples, shown for "
        "comparison because it is not a likelihood. Lines that fall far below the null leave the axis."
    )


_LABEL_CHAIN = (
    "Label chain: a Markov chain over population states follows the labels of the states ahead, which is "
    "not its own one-step law applied repeatedly. "
)


FIGURE = base.Figure(
    title="Predictions further ahead",
    caption=_caption,
    needs=("comparison", "forecasts"),
    applies=applies,
    read=read,
    draw=draw,
    place=140,
)
