"""How far back the state remembers: gradients against lag, and the observed past read from the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import base, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    dissections: dict[str, xr.Dataset], looks: dict[str, style.Look] | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Draw how far gradients reach into the past, and what the state tells of past observations.

    `dissections`: variant -> product of `dynamics`. Left: spectral norm of dh_t/dh_{t-k} on test trials,
    geometric mean and range over members; dotted: the slope of the conditional Lyapunov exponent; dashed: the
    direct path of an LSTM. Right: share of the variance of the observation at lag k that a linear read-out of
    the state tells.
    """
    with style.style():
        fig, axes = style.figure(1, 2, style.PAGE, 3.0)
        left, right = axes[0]
        tables, looks = [], looks or style.looks((name, "recurrent") for name in dissections)
        for name, one in dissections.items():
            colour, marker, _ = looks[name]
            tables += [t.assign(variant=name) for t in (_norms(one), _told(one))]
            _reach(left, one, tables[-2], colour, marker)
            told = tables[-1]
            right.plot(
                told["lag"], told["mean"], marker=marker, ms=2.5, color=colour, label=style.wrapped(name)
            )
            right.fill_between(told["lag"], told["low"], told["high"], color=colour, alpha=0.15, lw=0)
        unit = "bins" if style.timed(next(iter(dissections.values()))) else "symbols"
        left.set(
            xscale="log",
            yscale="log",
            xlabel=f"lag k ({unit})",
            ylabel=r"$\|\partial h_t/\partial h_{t-k}\|$",
        )
        left.axhline(np.exp(-1), color="0.6", lw=0.7)
        left.set_title("gradients (map: open); grey: 1/e; dotted: exponent", loc="left", fontsize=7.5)
        right.axvline(0, color="0.6", lw=0.7)
        # a read-out that is worse than the mean may be so by any factor, and would flatten all others
        low, high = right.get_ylim()
        right.set_ylim(max(low, -0.1), min(high, 1.05))
        right.set_xlabel(f"lag of the observation ({unit}; negative: to come)")
        right.set_ylabel("variance told by the state (R²)")
        right.set_title("decoded from the state (map: open), held-out trials", loc="left", fontsize=7.5)
        fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig, pd.concat(tables, ignore_index=True)


def _norms(one: xr.Dataset) -> pd.DataFrame:
    """Per lag the mean over members of the trials' geometric mean, and the members' range."""
    tables = []
    for kind in ("gradient_norm", "forget_path"):
        if kind in one:
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.nanmean(np.log(one[kind].values), 1)
            lag = one["lag"].values
            parts = (np.exp(f(logs, 0)) for f in (np.mean, np.min, np.max))
            tables.append(_curve(kind, lag, *parts))
    return pd.concat(tables, ignore_index=True)


def _told(one: xr.Dataset) -> pd.DataFrame:
    values = one["decoded"].values
    return _curve("decoded", one["decoded_lag"].values, values.mean(0), values.min(0), values.max(0))


def _curve(kind: str, lag: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"kind": kind, "lag": lag, "mean": mean, "low": low, "high": high})


def _reach(ax: Axes, one: xr.Dataset, table: pd.DataFrame, colour: str, marker: str) -> None:
    full = table[(table["kind"] == "gradient_norm") & (table["mean"] > 0)]
    ax.plot(full["lag"], full["mean"], marker=marker, ms=2.5, color=colour)
    ax.fill_between(full["lag"], full["low"], full["high"], color=colour, alpha=0.15, lw=0)
    direct = table[table["kind"] == "forget_path"]
    ax.plot(direct["lag"], direct["mean"], "--", color=colour)
    slope = float(np.nanmean(one["conditional_exponent"].values))
    if len(full) > 2 and np.isfinite(slope):
        half = full[full["lag"] >= full["lag"].max() / 4]
        ax.plot(
            half["lag"],
            half["mean"].iloc[0] * np.exp(slope * (half["lag"] - half["lag"].iloc[0])),
            ":k",
            lw=0.9,
        )


FIGURE = base.of_dynamics(
    title="How far back the state reaches",
    caption=(
        "How long an event leaves a trace. Left: the factor by which a gradient shrinks or grows over k "
        "steps along the recorded input (norm of the Jacobian product); a steep fall means that training "
        "could not learn longer dependencies. Grey line: 1/e of a gradient is left. Dotted: the slope that "
        "the conditional Lyapunov exponent predicts for long lags. Dashed (LSTM only): the direct path "
        "through the cell, the product of the forget gates. Right: share of the observed past (positive "
        "lags) and future (negative lags) that a linear read-out recovers from the state on test trials, "
        "mean over units or symbols. Shading: from the lowest to the highest random restart."
    ),
    read=base.coloured,
    draw=draw,
    place=290,
    printed=False,
)
