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


def draw(variants: pd.DataFrame, comparison: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the score of Markov chains against their order.

    `variants`: variants.csv, `comparison`: comparison.csv. Symbols: loss (lower is better) against order;
    counts and signals: gain over the null, a line per number of states. Horizontal lines: networks (mean over
    members).
    """
    with style.style():
        names = list(comparison["dataset"].drop_duplicates())
        fig, axes = style.figure(1, len(names), min(style.PAGE, 3.6 * len(names)), 3.0)
        tables = []
        for ax, name in zip(axes.flat, names, strict=True):
            rows = comparison[comparison["dataset"] == name]
            chains = variants[(variants["dataset"] == name) & (variants["role"] == "markov")]
            tables.append(_panel(ax, str(name), rows, chains))
    return fig, pd.concat(tables, ignore_index=True)


def _panel(ax: Axes, name: str, rows: pd.DataFrame, chains: pd.DataFrame) -> pd.DataFrame:
    symbols = rows["metric"].iloc[0] == "bits_per_symbol"
    column = "loss_test" if symbols else "test"
    ax.set_title(name, loc="left")
    ax.set_xlabel("order of the chain")
    unit = METRICS[rows["metric"].iloc[0]].label
    ax.set_ylabel(f"test loss ({unit}), lower is better" if symbols else f"test gain over the null ({unit})")
    chains = chains.assign(order=chains["context"])  # swept or not; of a context tree its depth
    if chains.empty:
        style.say(ax, "no Markov chain in this study")
    swept = [
        name for name in ("states", "smoothing") if name in chains and not (symbols and name == "states")
    ]
    lines = chains.groupby([chains["model"], *(chains[name].fillna("") for name in swept)])
    for i, (key, line) in enumerate(lines):
        line = line.sort_values("order")
        ax.plot(
            line["order"],
            line[column],
            "o-",
            color=style.RED,
            alpha=0.35 + 0.65 * (i + 1) / len(lines),
            ms=3.5,
            label=_label(key, swept, several=chains["model"].nunique() > 1),
            mfc=("white", style.RED)[i % 2],
        )
    drawn = [chains[["dataset", "variant", "order", column]].rename(columns={column: "value"})]
    networks = rows[rows["role"] == "recurrent"].sort_values("value", ascending=False)
    colours = [colour for colour in style.CYCLE if colour != style.RED]
    for i, row in enumerate(networks.to_dict("records")):
        value = row["loss"] if symbols else row["value"]
        half = (row["high"] - row["low"]) / 2
        dashes = ("-", "--", ":", "-.")[i // len(colours) % 4]
        ax.axhline(value, color=colours[i % len(colours)], lw=1, ls=dashes, label=row["variant"])
        drawn.append(
            pd.DataFrame(
                [{"dataset": name, "variant": row["variant"], "value": value, "half_interval": half}]
            )
        )
    if len(chains):
        ax.set_xticks(sorted(chains["order"].unique()))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return pd.concat(drawn, ignore_index=True)


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
    return {"variants": products.read("variants"), "comparison": models}


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
)
