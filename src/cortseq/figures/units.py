"""Where the gain of the best network over its reference is: by unit, by time in the trial, by condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.figures import base, style
from cortseq.metrics import BIT, METRICS
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts, Products
from cortseq.scoring import parts as by_part
from cortseq.scoring.statistics import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 16  # conditions that are drawn
_FEW = 0.1  # of the median number of events: parts with fewer do not set the limits of the axis


def draw(
    products: dict[str, list[xr.Dataset]], parts: pd.DataFrame | None = None, metric: str = "bits_per_spike"
) -> tuple[Figure, pd.DataFrame]:
    """Draw the best network's score of each unit against its reference, and the gain by time and condition.

    `products`: score products (one a fold) of null, the network and the reference, in this order. A dot a
    unit: mean-rate score over the training mean, sum log Pois(y; E[y | past]) in bits per spike, mean over
    members; area: spikes. `parts`: `scoring.parts.table`. Filled dots: the gain is not 0 (Holm).
    """
    _, network, reference = products
    known = parts if parts is not None else pd.DataFrame({"part": []})
    panels = [name for name in ("time", "condition") if (known["part"] == name).any()]
    counted = "unit_score" in products[network][0]
    n = counted + len(panels)
    most = max([0, *(min(MOST, int((known["part"] == name).sum())) for name in panels)])
    width, height = (style.COLUMN, style.COLUMN) if n == 1 else (style.PAGE, max(2.4, 1.0 + 0.15 * most))
    with style.style():
        fig, axes = style.figure(1, max(n, 1), width, height)
        table = known
        if not n:
            style.say(axes[0, 0], f"fewer than {by_part.FEWEST} test trials")
        if counted:
            units = per_unit(products)
            _scatter(axes[0, 0], units, network, reference, known[known["part"] == "unit"])
            if n > 1:
                title = axes[0, 0].get_title(loc="left")
                axes[0, 0].set_title(title.replace("units ", "units\n"), loc="left")
            table = units if parts is None else pd.concat([units.assign(part="score"), known])
        for ax, name in zip(axes[0, int(counted) :], panels, strict=True):
            rows = known[known["part"] == name]
            _gains(
                ax, rows.head(MOST), f"gain over\n{style.wrapped(reference, 24)}\n({METRICS[metric].label})"
            )
            ax.set_title(_TIMES.get(metric, "time in the trial (s)") if name == "time" else name, loc="left")
    return fig, table


_TIMES = {"bits_per_symbol": "place in the sequence (symbols)"}


def _scatter(ax: Axes, table: pd.DataFrame, network: str, chain: str, tests: pd.DataFrame) -> None:
    from matplotlib.colors import to_rgba

    size = 4 + 30 * np.sqrt(table["spikes"] / table["spikes"].max())
    sure = tests.loc[tests["p_holm"] < LEVEL, "which"] if len(tests) else table["unit"].astype(str)
    filled = table["unit"].astype(str).isin(set(sure))
    colours = [to_rgba(style.BLUE, 0.6 if shown else 0.0) for shown in filled]
    ax.scatter(table[chain], table[network], s=size, c=colours, edgecolors=to_rgba(style.BLUE, 0.8), lw=0.6)
    both = table[[chain, network]].to_numpy()
    low, high = both.min(), both.max()
    room = 0.08 * (high - low) or 0.1
    ax.plot([low - room, high + room], [low - room, high + room], color="0.7", lw=0.8, zorder=0)
    ax.set_xlim(low - room, high + room)
    ax.set_ylim(low - room, high + room)
    ax.set_xlabel(f"expected counts of\n{style.wrapped(chain, 24)}\n(mean-rate score, bits/spike)")
    ax.set_ylabel(f"expected counts of\n{style.wrapped(network, 24)}\n(mean-rate score, bits/spike)")
    ax.set_aspect("equal")
    above = int((table[network] > table[chain]).sum())
    ax.set_title(f"{above} of {len(table)} units above the diagonal", loc="left")


def _gains(ax: Axes, rows: pd.DataFrame, label: str) -> None:
    at = np.arange(len(rows))[::-1]
    left, right = _reach(rows)
    for y, row in zip(at, rows.to_dict("records"), strict=True):
        ax.plot([row["low"], row["high"]], [y, y], color=style.BLUE, lw=1)
        face = style.BLUE if row["p_holm"] < LEVEL else "white"
        shape = "<" if row["gain"] < left else ">" if row["gain"] > right else "o"
        shown = min(max(row["gain"], left), right)
        ax.plot(shown, y, shape, color=style.BLUE, mfc=face, ms=3.5, mew=0.8, clip_on=False)
    ax.set_xlim(left, right)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_yticks(at, rows["which"])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlabel(label)


def _reach(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: a part with hardly an event must not flatten all others."""
    told = rows[rows["events"] >= _FEW * rows["events"].median()]
    low, high = min(0.0, told["low"].min()), max(0.0, told["high"].max())
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def per_unit(products: dict[str, list[xr.Dataset]]) -> pd.DataFrame:
    """Return a row per unit that spikes in test trials: unit, spikes, bits/spike over the first model.

    Folds may keep different units: each is scored in the folds that keep it.
    """
    null, *others = products
    sums = {name: _unit_sums(folds) for name, folds in products.items()}
    table = pd.DataFrame({"spikes": sums[null]["unit_events"]})
    for name in others:
        gain = sums[name]["unit_score"] - sums[null]["unit_score"]
        table[name] = gain / (table["spikes"].replace(0, np.nan) * BIT)
    return table[table["spikes"] > 0].rename_axis("unit").reset_index()


def _unit_sums(folds: list[xr.Dataset]) -> pd.DataFrame:
    """unit_score (mean over members) and unit_events summed over test trials and folds, by unit."""
    each = []
    for fold in folds:
        test = fold.isel(trial=np.flatnonzero(fold["role"].values == "test"))
        sums = test[["unit_score", "unit_events"]].sum("trial")
        score = sums["unit_score"].mean("member").values
        index = pd.Index(fold["unit"].values, name="unit")
        each.append(pd.DataFrame({"unit_score": score, "unit_events": sums["unit_events"].values}, index))
    return pd.concat(each).groupby(level=0, sort=False).sum()


def read(products: Products) -> dict[str, Any]:
    """Scores of all folds of the null, the network and its reference, which validation chose."""
    table = products.read("variants")
    network = base.chosen(table, products.dataset, "recurrent")[0]
    chains = base.chosen(table, products.dataset, "markov")
    mine = table[table["dataset"] == products.dataset].set_index("variant")["valid"]
    best = next((name for name in chains if mine[name] > 0), "null")
    found = {name: products.folds("scores", name)[name] for name in ("null", network, best)}
    recording = products.read("trials")
    labels = by_part.labels_of(recording, recording.attrs["covariates"])
    kind, continuous = rec.kind(recording), bool(recording.attrs["continuous"])
    parts = by_part.table(found[network], found[best], labels, kind, continuous)
    if best == "null":
        found["constant"] = found["null"]
    return {"products": found, "parts": parts, "metric": kind.metric}


def applies(facts: Facts) -> bool:
    """Whether a network was fitted."""
    return "recurrent" in facts.roles


def _caption(facts: Facts) -> str:
    track = TRACKS[facts.track]
    units = (
        "Each dot is a unit, its area grows with the square root of its spikes; axes: how well the expected "
        "counts of both models predict that unit's test spikes, in bits per spike over its training mean "
        "(the mean-rate score). Units above the diagonal are predicted better by the network. These are "
        "expected counts alone: the score of the comparison also rewards the shape of the distribution "
        "and what units share, so that its order may be another. "
    )
    where = "symbols after its start" if track.has_labels else "s after its start"
    return (
        "Whether the network's advantage over its reference (the best Markov chain, or a constant where no "
        "chain beats one on validation) is the same in all parts of the recording or carried by few. "
        f"{units if track.has_events else ''}Rows with intervals: the gain in parts of the trial ({where}) "
        "and in the trials of each condition, per event of that part, with 95 % intervals. Filled: "
        "the gain differs from 0 after Holm's adjustment over the dots of the panel. Parts with hardly an "
        "event may leave the axis; a triangle points to a gain that lies beyond it."
    )


FIGURE = base.Figure(
    title="Where the gain is",
    caption=_caption,
    needs=("variants", "scores", "trials"),
    applies=applies,
    read=read,
    draw=draw,
    place=130,
)
