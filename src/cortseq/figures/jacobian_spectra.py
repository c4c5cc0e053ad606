"""Jacobian eigenvalues at the closed loop's fixed points, as discrete multipliers and as time constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.spectra import time_constants_and_frequencies
from cortseq.figures import base, style
from cortseq.observations.tracks import TRACKS
from cortseq.products import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stable points above unstable ones, which are more, small and hollow: none hides the other.
_DOTS: dict[float, dict[str, Any]] = {
    1.0: {"marker": ".", "color": style.BLUE, "ms": 2.5, "zorder": 3},
    0.0: {"marker": "o", "color": style.RED, "ms": 3, "mfc": "none", "mew": 0.5},
}
_REACH = 3.0  # of the axes: one wild eigenvalue must not hide the unit circle


def draw(dissections: dict[str, xr.Dataset]) -> tuple[Figure, pd.DataFrame]:
    """Draw the eigenvalues at the fixed points of every network, and what they mean in time.

    `dissections`: variant -> product of `dynamics`. Upper row: complex plane with the unit circle; dashed:
    the disc that entries of the same variances without structure would fill, at the point nearest to the data
    (cells whose state is of one kind). Lower: frequency against time constant of the decaying modes. Member
    0. Many networks stand in blocks of two rows.
    """
    from matplotlib.lines import Line2D

    with style.style():
        n = len(dissections)
        blocks = -(-n // 4)
        columns = -(-n // blocks)
        fig, axes = style.figure(2 * blocks, columns, style.PAGE, 0.4 + 3.5 * blocks)
        for ax in axes.flat:
            ax.set_visible(False)
        tables = []
        for i, (name, one) in enumerate(dissections.items()):
            row, column = 2 * (i // columns), i % columns
            plane, modes = axes[row : row + 2, column]
            tables.append(_table(one).assign(variant=name))
            _plane(plane, name, tables[-1], one)
            _modes(modes, tables[-1], one)
            if not column:
                plane.set_ylabel("imaginary part")
                modes.set_ylabel(_frequency_label(one))
        dots = [Line2D([], [], ls="none", **look) for look in _DOTS.values()]
        names = ["eigenvalues at stable fixed points", "at unstable fixed points"]
        lines = [Line2D([], [], color="0.6", lw=0.8), Line2D([], [], color="k", lw=0.8, ls="--")]
        names += ["unit circle", "bulk without structure"]
        fig.legend([*dots, *lines], names, loc="outside lower center", ncols=4)
    return fig, pd.concat(tables, ignore_index=True)


def _table(one: xr.Dataset) -> pd.DataFrame:
    values = one["jacobian_eigenvalues_real"].values[0] + 1j * one["jacobian_eigenvalues_imag"].values[0]
    kept = np.isfinite(values) & (np.abs(values) > 1e-6)
    point = np.broadcast_to(np.arange(len(values))[:, None], values.shape)[kept]
    values = values[kept]
    modes = time_constants_and_frequencies(values, one.attrs["bin_width"])
    stable = one["stable"].values[0][point]
    return pd.DataFrame(
        {
            "point": point,
            "stable": stable,
            "real": values.real,
            "imag": values.imag,
            "tau": modes.time_constants,
            "frequency": np.abs(modes.frequencies),
        }
    )


def _plane(ax: Axes, name: str, table: pd.DataFrame, one: xr.Dataset) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color="0.6", lw=0.8)
    ax.set_visible(True)
    known = "jacobian_disc" in one and np.isfinite(one["jacobian_disc"].values[0]).all()
    centre, radius = one["jacobian_disc"].values[0] if known else (0.0, 0.0)
    if known:
        # over the points, which may cover it
        ax.plot(centre + radius * np.cos(angle), radius * np.sin(angle), "--k", lw=0.8, zorder=4)
    ax.set_aspect("equal")
    disc = "" if known else "; no disc"
    if radius - abs(centre) > _REACH:  # around all that is shown
        disc = f"; disc of radius {radius:.0f}"
    # beside the name, which is shorter than the map: the last panel has no room to its right
    ax.set_title(f"{style.wrapped(name, 30)}{disc}\nmap: {one.attrs['map']}", loc="left", fontsize=7.5)
    ax.set_xlabel("real part")
    if table.empty:
        style.say(ax, "no fixed point found")
    for stable, look in _DOTS.items():
        mine = table[table["stable"] == stable]
        if len(mine):
            ax.plot(mine["real"], mine["imag"], ls="none", **look)
    far = table[["real", "imag"]].abs().max(axis=1) if len(table) else table["real"]
    widest = max(1.0, abs(centre) + radius, far.max() if len(far) else 0.0)
    reach = min(1.12 * widest, _REACH)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    if (beyond := far[far > reach]).size:
        note = f"{len(beyond)} beyond, |λ| to {np.hypot(table['real'], table['imag']).max():.0f}"
        ax.text(0.5, 0.98, note, transform=ax.transAxes, ha="center", va="top", fontsize=6, color="0.3")


def _modes(ax: Axes, table: pd.DataFrame, one: xr.Dataset) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_visible(True)
    slow = table[(table["tau"] > 0) & np.isfinite(table["tau"])]
    ax.set_xlabel("time constant (s)" if style.timed(one) else "time constant (symbols)")
    if slow.empty:
        style.say(ax, "no decaying mode")
        return
    for stable, look in _DOTS.items():
        mine = slow[slow["stable"] == stable]
        ax.plot(mine["tau"], mine["frequency"], ls="none", **look)
    ax.set_xscale("log")
    nyquist = 0.5 / one.attrs["bin_width"]
    ax.set_ylim(-0.06 * nyquist, 1.06 * nyquist)
    low, high = slow["tau"].min(), slow["tau"].max()
    ax.set_xlim(0.5 * 10 ** np.floor(np.log10(low)), 2 * 10 ** np.ceil(np.log10(high)))
    ax.xaxis.set_major_locator(LogLocator(numticks=4))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _frequency_label(one: xr.Dataset) -> str:
    return "frequency (Hz)" if style.timed(one) else "frequency (1/symbol)"


def _caption(facts: Facts) -> str:
    unit = "" if TRACKS[facts.track].timed else " in units of symbols"
    return (
        "How fast small deviations from a fixed point grow, decay or rotate, at every fixed point of the "
        "first random restart; the table of dynamics says it of the point nearest to the data alone. Above: "
        "eigenvalues of the closed loop per step; a mode inside the unit circle decays. Dashed: the disc "
        "that entries of the same variances without structure would fill, at the point nearest to the data; "
        "eigenvalues outside it come from structure; it applies to states of one kind, and panels without it "
        f"are titled so. Below: the decaying modes as time constants and frequencies{unit}."
    )


FIGURE = base.of_dynamics(
    title="Jacobian spectra at the fixed points",
    caption=_caption,
    draw=draw,
    place=240,
    printed=False,
)
