"""Figures of what an analysis returned: exponents, eigenvalues, curves, a difference of two models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd
from cortseq.figures import style, weight_spectra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cortseq.dynamics import (
        ChaosVerdict,
        EchoState,
        Loops,
        LyapunovSpectrum,
        MemoryCapacity,
        Outliers,
        SilentMemory,
        TransientGrowth,
        TwinDivergence,
    )
    from cortseq.scoring import PairedDifference
    from cortseq.theory import MeanField


def draw(thing: Any) -> Figure | None:
    """Return the figure of one result; None where there is no picture of such a thing."""
    panel = _PANELS.get(type(thing).__name__)
    if panel is None:
        return None
    with style.style():
        fig, axes = style.figure(1, 1, 1.3 * style.COLUMN, 2.8)
        panel(axes[0, 0], thing)
    return fig


def _lyapunov(ax: Axes, found: LyapunovSpectrum) -> None:
    rank = np.arange(1, len(found.exponents) + 1)
    errors = np.nan_to_num(2 * found.standard_errors)
    ax.axhline(0, color="0.6", lw=0.7)
    ax.errorbar(rank, found.exponents, errors, fmt="o", ms=3, color=style.BLUE, elinewidth=0.8)
    style.whole_ticks(ax.xaxis)
    ax.set(xlabel="rank of the exponent", ylabel="exponent (nats/step)")
    ax.set_title(f"Lyapunov exponents of the {found.map} map, 2 standard errors", loc="left")


def _chaos(ax: Axes, found: ChaosVerdict) -> None:
    ax.axhline(0, color="0.6", lw=0.7)
    ax.axhspan(found.low, found.high, color="0.92", lw=0, zorder=0)
    for seed, exponents in enumerate(np.atleast_2d(found.exponents)):
        ax.plot(np.full(len(exponents), seed + 1), exponents, "o", ms=3, mfc="none", color=style.BLUE)
    style.whole_ticks(ax.xaxis)
    ax.set(xlabel="seed", ylabel="largest exponent (nats/step)")
    answer = {True: "chaotic", False: "not chaotic", None: "undecided"}[found.chaotic]
    ax.set_title(f"{found.map} map: {answer}; grey: 95 % interval of the mean", loc="left")


def _twins(ax: Axes, found: TwinDivergence) -> None:
    _falling(ax, np.atleast_2d(found.distances), "distance of twins")
    ax.set_title(f"ln distance grows by {found.slope:.3g} a step", loc="left")


def _echo(ax: Axes, found: EchoState) -> None:
    _falling(ax, np.atleast_2d(found.distances), "largest distance of two states")
    holds = "holds" if found.holds else "does not hold"
    ax.set_title(f"echo state {holds}; conditional exponent {found.slope:.3g} nats/step", loc="left")


def _falling(ax: Axes, curves: np.ndarray, label: str) -> None:
    """Draw distances (curve, time) on a logarithmic axis; 0 has no place there."""
    for curve in curves:
        ax.plot(np.where(curve > 0, curve, np.nan), color=style.BLUE, lw=0.8, alpha=0.7)
    if (curves > 0).any():
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel=label)


def _outliers(ax: Axes, found: Outliers) -> None:
    values = {"real": found.eigenvalues.real, "imag": found.eigenvalues.imag, "p": found.p_values}
    circle = {"bulk_radius": found.bulk_radius, "profile_centre": np.nan, "profile_radius": np.nan}
    weight_spectra.panel(ax, "eigenvalues", pd.DataFrame(values | circle))


def _memory(ax: Axes, found: MemoryCapacity) -> None:
    lags = np.arange(1, len(found.per_lag) + 1)
    ax.plot(lags, found.per_lag, "o-", ms=2.5, color=style.BLUE)
    ax.axhline(found.null, color="0.6", lw=0.8, ls=":", label="chance")
    ax.set(xlabel="lag (steps)", ylabel="capacity", ylim=(-0.03, 1.03))
    ax.set_title(f"memory capacity, {found.total:.3g} steps in all", loc="left")
    ax.legend()


def _growth(ax: Axes, found: TransientGrowth) -> None:
    ax.plot(found.times, found.norms, color=style.BLUE)
    if np.isfinite(found.peak):
        ax.plot(found.time, found.peak, "o", ms=4, color=style.RED)
    ax.axhline(1, color="0.6", lw=0.7)
    ax.set(xlabel="time", ylabel="largest growth (spectral norm)")
    ax.set_title(f"transient growth, peak {found.peak:.3g} at {found.time:.3g}", loc="left")


def _loops(ax: Axes, found: Loops) -> None:
    ax.plot(np.arange(1, len(found.bars) + 1), found.bars, "o", ms=3, color=style.BLUE)
    if np.isfinite(found.null):
        ax.axhline(found.null, color="0.6", lw=0.8, ls=":", label="longest bar of a cloud without loops")
        ax.legend()
    style.whole_ticks(ax.xaxis)
    ax.set(xlabel="rank of the bar", ylabel="length (rms spreads)")
    ax.set_title(f"{found.count} loop{'s' * (found.count != 1)} of {found.points} points", loc="left")


def _silent(ax: Axes, found: SilentMemory) -> None:
    for values, colour, name in (
        (found.rates, style.BLUE, "rates"),
        (found.efficacy, style.GREEN, "synapses"),
    ):
        ax.plot(np.atleast_2d(values).T, color=colour, lw=0.5, alpha=0.5)
        ax.plot(np.atleast_2d(values).mean(0), color=colour, label=name)
    ax.axhline(0.5, color="0.6", lw=0.8, ls=":")
    ax.set(xlabel="bin", ylabel="area under the ROC curve", ylim=(None, 1.02))
    ax.set_title("the cue read from rates and from synapses; dotted: chance", loc="left")
    ax.legend()


def _mean_field(ax: Axes, found: MeanField) -> None:
    ax.plot(found.lags, found.autocorrelation, color=style.BLUE)
    if np.isfinite(found.half_width):
        ax.axvline(found.half_width, color="0.6", lw=0.8, ls=":", label="half of its peak")
        ax.legend()
    ax.set(xlabel="lag (time constants)", ylabel="autocorrelation of x")
    ax.set_title(f"mean field, gain {found.gain:.3g}: exponent {found.lyapunov:.3g} nats/tau", loc="left")


def _difference(ax: Axes, found: PairedDifference) -> None:
    ax.axvline(0, color="0.5", lw=0.8)
    ax.plot([found.low, found.high], [0, 0], color=style.BLUE, lw=1.4)
    ax.plot(found.estimate, 0, "o", ms=5, color=style.BLUE)
    ax.set(xlabel="first model less the second, with its 95 % interval", yticks=[], ylim=(-1, 1))
    ax.spines["left"].set_visible(False)
    p = f"p = {found.p_value:.2g}" if found.p_value > found.smallest_p else f"p ≤ {found.p_value:.2g}"
    ax.set_title(f"{p}, {found.pieces} blocks", loc="left")


_PANELS: dict[str, Callable[[Axes, Any], None]] = {
    "ChaosVerdict": _chaos,
    "EchoState": _echo,
    "Loops": _loops,
    "LyapunovSpectrum": _lyapunov,
    "MeanField": _mean_field,
    "MemoryCapacity": _memory,
    "Outliers": _outliers,
    "PairedDifference": _difference,
    "SilentMemory": _silent,
    "TransientGrowth": _growth,
    "TwinDivergence": _twins,
}
