"""What networks gain over the best model that is no network: the answer of a study at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.figures import base, style
from cortseq.metrics import METRICS
from cortseq.products import Facts, Products

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FLOORS = ("L0", "L0'")  # far below the others: they stand in the ladder


def draw(rows: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw the difference of models from the best one that is no network, which stands at 0.

    `rows`: of comparison.csv of one recording. Shown are all networks, and of the others the best of each
    rung, without the null and the floors. Points: mean over random restarts; bars: 95 % intervals of the
    paired difference; grey band: differences that count as none.
    """
    name, unit = str(rows["rival"].iloc[0]), METRICS[rows["metric"].iloc[0]].label
    shown = _shown(rows, name)
    margin = float(rows["equivalence_margin"].iloc[0])
    with style.style():
        fig, axes = style.figure(1, 1, style.PAGE, 0.75 + 0.2 * len(shown))
        ax = axes[0, 0]
        ax.axvspan(-margin, margin, color="0.93", lw=0, zorder=0)
        ax.axvline(0, color="0.5", lw=0.8, zorder=1)
        for y, row in enumerate(shown.to_dict("records")):
            colour = style.ROLE_COLOURS[row["role"]]
            ax.plot([row["rival_low"], row["rival_high"]], [y, y], color=colour, lw=1.4)
            ax.plot(row["gain_over_rival"], y, "o", color=colour, ms=4)
        ax.set_yticks(range(len(shown)), [style.wrapped(variant, 30) for variant in shown["variant"]])
        ax.set_ylim(-0.7, len(shown) - 0.3)
        ax.margins(x=0.06)
        over = f"{name}, the best model" if "/" not in name else "the best model of each fold"
        ax.set_xlabel(f"gain over {over} that is no network ({unit})")
    columns = ["variant", "role", "rung", "rival", "gain_over_rival", "rival_low", "rival_high"]
    return fig, shown[columns]


def _shown(rows: pd.DataFrame, rival: str) -> pd.DataFrame:
    """Return the rows that are drawn, lowest first; the rival is 0 from itself."""
    gains = ["gain_over_rival", "rival_low", "rival_high"]
    rows = rows.assign(own=rows["variant"] == rival).sort_values("value", ascending=False, kind="stable")
    rows.loc[rows["own"], gains] = 0.0
    network = rows["role"] == "recurrent"
    best = rows[~network & ~rows["rung"].isin(_FLOORS)].drop_duplicates("rung").index
    kept = rows[network | rows["own"] | rows.index.isin(best)].dropna(subset=gains)
    return kept.sort_values("gain_over_rival", kind="stable").reset_index(drop=True)


def read(products: Products) -> dict[str, Any]:
    """Read the rows of the recording."""
    table = base.without_averages(base.comparison(products))
    return {"rows": table[table["dataset"] == products.dataset]}


def applies(facts: Facts) -> bool:
    """Whether there are networks, and others to compare them with."""
    return bool(facts.recurrent) and len(facts.roles - {"null"}) > 1


FIGURE = base.Figure(
    title="Do networks predict better than anything simpler?",
    caption=(
        "Models less the best one that is no network (at 0), on the same test trials. A network whose bar "
        "lies right of 0 predicts better than every simpler model; one whose bar holds 0 is not told apart "
        "from it. Blue: networks; orange-red: Markov chains; grey: other models, of which the best of each "
        "rung is shown. Points: mean over random restarts; bars: 95 % intervals of the paired difference, "
        "not adjusted for the number of networks (p in the table is); grey band: differences too small to "
        "matter."
    ),
    needs=("comparison",),
    read=read,
    draw=draw,
    applies=applies,
    place=1,
)
