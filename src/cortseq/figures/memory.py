"""Memory gain of recurrent networks: what the past beyond the last k bins is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products
from cortseq.scoring import evidence, tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_TITLES = {"re-run": "re-run: restarted k {} before", "re-trained": "re-trained on windows of k {}"}


def draw(
    table: pd.DataFrame, metric: str, looks: dict[str, style.Look] | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw what bins further back than k are worth.

    `table`: model, memory (bins k), value, low, high, kind. Lines: the same network restarted k bins before
    each prediction; diamonds: networks trained on windows of k bins. Bars: 95 % intervals.
    """
    looks = looks or style.looks((str(model), "recurrent") for model in table["model"])
    with style.style():
        shown = [kind for kind in _TITLES if (table["kind"] == kind).any()]
        width = style.PAGE if len(shown) > 1 else 0.6 * style.PAGE
        fig, axes = style.figure(1, len(shown), width, 3.0)
        unit = style.steps(metric)
        for ax, kind in zip(axes[0], shown, strict=True):
            _panel(ax, table[table["kind"] == kind], looks, _TITLES[kind].format(unit))
            ax.set_xlabel(f"k ({unit})")
            ax.set_ylabel(f"gain of the whole past ({METRICS[metric].label})")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=5)
    return fig, table


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, style.Look], title: str) -> None:
    ax.set_title(title, loc="left")
    ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    for model, line in rows.groupby("model", sort=False):
        line = line.sort_values("memory")
        bars = [line["value"] - line["low"], line["high"] - line["value"]]
        look = looks[str(model)]
        ax.errorbar(
            line["memory"],
            line["value"],
            bars,
            marker=look.marker,
            ls=look.dashes,
            ms=3,
            color=look.colour,
            elinewidth=0.6,
            label=model,
        )
    ax.set_xscale("log")
    ticks = sorted(rows["memory"].unique())
    ax.set_xticks(ticks, ticks)
    ax.minorticks_off()


def read(products: Products) -> dict[str, Any]:
    """Read the re-runs of every model, and pair variants that were trained on windows with the full one."""
    tables = []
    for model, folds in products.folds("memory").items():
        tables.append(tasks.memory_rerun(folds, int(folds[0].attrs["burn_in"])).assign(model=model))
    attrs = folds[0].attrs
    variants = products.read("variants")
    mine, track = variants[variants["dataset"] == products.dataset], TRACKS[attrs["track"]]
    twins = evidence.memory(products, mine, track, bool(attrs["continuous"]), int(attrs["burn_in"]))
    metric = base.metric(base.comparison(products), products.dataset)
    return {"table": pd.concat([*tables, twins]), "metric": metric, "looks": base.looks(variants)}


def applies(facts: Facts) -> bool:
    """Whether the study asks for memory."""
    return bool(facts.tasks.get("memory"))


def _caption(facts: Facts) -> str:
    steps = f"{TRACKS[facts.track].step}s"
    return (
        f"Score with the whole past minus score with the last k {steps}: above zero, {steps} further back "
        f"than k help the prediction. Re-run: the same network restarted from its start state k {steps} "
        "before each prediction; it was not trained for that, so a gain here can also be the cost of the "
        f"restart. Re-trained: networks trained on windows of k {steps} (`memory` of a model), a fair "
        "comparison, but learning from windows may cost something by itself. A claim of long memory needs "
        f"such networks, and a gain over them that is larger in later {steps} than in the first k of a "
        "trial, where the window holds the whole past."
    )


FIGURE = base.Figure(
    title="What the distant past is worth",
    caption=_caption,
    needs=("comparison", "variants", "memory", "cards", "scores"),
    applies=applies,
    read=read,
    draw=draw,
    place=150,
)
