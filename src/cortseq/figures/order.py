"""Score of the Markov chains against their order, with the recurrent models beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    variants: pd.DataFrame, comparison: pd.DataFrame, looks: dict[str, style.Look] | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw the score of Markov chains against their order, a line per number of states.

    `variants`: variants.csv, `comparison`: comparison.csv, `looks`: of the networks. Horizontal lines:
    networks (mean over members).
    """
    with style.style():
        names = list(comparison["dataset"].drop_duplicates())
        columns = min(2, len(names))
        rows_ = -(-len(names) // columns)
        fig, axes = style.figure(rows_, columns, min(style.PAGE, 4.2 * columns), 3.2 * rows_)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        tables, looks = [], looks or base.looks(comparison)
        for ax, name in zip(axes.flat, names, strict=False):
            rows = comparison[comparison["dataset"] == name]
            chains = variants[(variants["dataset"] == name) & (variants["role"] == "markov")]
            tables.append(_panel(ax, str(name), rows, chains, looks))
    return fig, pd.concat(tables, ignore_index=True)


def _panel(
    ax: Axes, name: str, rows: pd.DataFrame, chains: pd.DataFrame, looks: dict[str, style.Look]
) -> pd.DataFrame:
    ax.set_title(style.wrapped(name, style.TITLE), loc="left")
    ax.set_xlabel("order of the chain")
    metric = rows["metric"].iloc[0]
    ax.set_ylabel(f"test gain over the null ({METRICS[metric].label})")
    chains = chains.assign(order=chains["context"])  # swept or not; of a context tree its depth
    if chains.empty:
        style.say(ax, "no Markov chain in this study")
    _chains(ax, chains, labels=metric == "bits_per_symbol")
    drawn = [chains[["dataset", "variant", "order", "test"]].rename(columns={"test": "value"})]
    ends = []
    for row in rows[rows["role"] == "recurrent"].to_dict("records"):
        look, half = looks[row["variant"]], (row["high"] - row["low"]) / 2
        ax.axhline(row["value"], color=look.colour, lw=1, ls=look.dashes)
        ends.append((row["variant"], ax.get_xlim()[1], row["value"], look.colour))
        kept = {"dataset": name, "variant": row["variant"], "value": row["value"], "half_interval": half}
        drawn.append(pd.DataFrame([kept]))
    _close_up(ax, chains, [value for _, _, value, _ in ends])
    style.name_ends(ax, ends)
    return pd.concat(drawn, ignore_index=True)


def _close_up(ax: Axes, chains: pd.DataFrame, networks: list[float]) -> None:
    """Leave chains of order 0 below the axis where they would press the others together."""
    lowest = chains.loc[chains["order"] == 0, "test"]
    others = [*chains.loc[chains["order"] > 0, "test"], *networks]
    if lowest.empty or len(others) < 2:
        return
    low, high = min(others), max(others)
    if lowest.min() < low - (high - low):
        ax.set_ylim(low - 0.12 * (high - low), high + 0.06 * (high - low))
        text = f"order 0: {round(lowest.min(), 3) + 0.0:.3f}, below the axis"  # no -0
        ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize=6.5, color=style.RED)


def _chains(ax: Axes, chains: pd.DataFrame, labels: bool) -> None:
    """Draw a line for each model and each value of what was swept but the order."""
    swept = [name for name in ("states", "smoothing") if name in chains and not (labels and name == "states")]
    lines = chains.groupby([chains["model"], *(chains[name].fillna("") for name in swept)])
    for i, (key, line) in enumerate(lines):
        line = line.sort_values("order")
        ax.plot(
            line["order"],
            line["test"],
            marker=("o", "o", "s", "s")[i % 4],
            color=style.RED,
            alpha=0.35 + 0.65 * (i + 1) / len(lines),
            ms=3.5,
            label=_label(key, swept, several=chains["model"].nunique() > 1),
            mfc=("white", style.RED)[i % 2],
        )
    if len(chains):
        ax.set_xticks(sorted(chains["order"].unique()))
        ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=3, columnspacing=1.0)


def _label(key: tuple[Any, ...], swept: list[str], several: bool) -> str:
    """Name a line: its model where there are several, and what was swept."""
    words = [str(key[0])] if several else []
    for name, value in zip(swept, key[1:], strict=True):
        if value != "":
            words.append(f"{int(value)} states" if name == "states" else str(value).replace("_", "-"))
    return ", ".join(words) or "Markov chain"


def read(products: Products) -> dict[str, Any]:
    """Read the scores of all variants, and of the models chosen."""
    models = base.without_averages(base.comparison(products))
    return {"variants": products.read("variants"), "comparison": models, "looks": base.looks(models)}


FIGURE = base.Figure(
    title="Order of the Markov chain",
    caption=(
        "Whether a longer memory helps a Markov chain, and whether that reaches the networks. The order "
        "is the number of past bins the chain knows. A curve that is flat from some order on says that "
        "the chain cannot use more of the past; networks (horizontal lines, mean over random restarts) "
        "beyond the whole curve use what no chain here can."
    ),
    needs=("variants", "comparison"),
    read=read,
    draw=draw,
    scope="study",
    place=30,
    printed=False,
)
