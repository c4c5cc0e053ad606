"""Echo states of linear and tanh reservoirs, and their memory: theory as lines, measurements as markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers."""
    with style.style():
        sheet = Sheet(2, 4, 5.2)
        _echo_states(sheet, found)
        _memory(sheet, found)
        return sheet.figure, sheet.table()


def _echo_states(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("linear: radius decides", "steps t", "norm of $W^t$", yscale="log")
    for radius, colour in zip(found["linear_radius"].values, style.CYCLE, strict=False):
        rows = found.sel(linear_radius=radius)
        some = rows.isel(power=slice(0, None, 40))
        panel.predicted(rows["power"], rows["power_norm_predicted"], f"radius {radius:g}$^t$", color=colour)
        panel.measured(some["power"], some["power_norm"], f"measured, {radius:g}", listed=False, color=colour)
    panel.ax.set_ylim(1e-9, 1e4)
    panel.legend()
    panel = sheet.panel("tanh: it does not", "step", "first unit, radius .5")
    for i, value in enumerate(found["trap_predicted"].values):
        panel.predicted(
            found["trap_step"], value, "h = tanh(1.8 h)", listed=not i, color=style.BLACK, zorder=5
        )
    for i, start in enumerate(found["trap"].values):
        colour = style.BLUE if start[-1] > 0 else style.RED
        few = slice(0, 15)
        panel.measured(
            found["trap_step"][few], start[few], "20 starts", listed=not i, color=colour, ms=2, ls="-", lw=0.4
        )
    panel.legend()
    panel = sheet.panel("drive restores it", "sd of the drive", "exponent (nats/step)")
    line = found.where(found["noise"] > 0, drop=True)
    panel.predicted(line["noise"], line["exponent_predicted"], "mean field", color=style.BLUE)
    panel.measured(found["noise"], found["exponent"], "tanh, gain 1.3", color=style.BLUE)
    panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    panel.legend()
    panel = sheet.panel("do copies meet?", "step", "largest distance", yscale="log")
    for i, colour in ((0, style.RED), (found.sizes["noise"] - 1, style.BLUE)):
        rows = found.isel(noise=i, driven_step=slice(0, None, 10))
        distance = rows["distance"].where(rows["distance"] > 1e-16)
        panel.measured(rows["driven_step"], distance, f"sd {float(rows['noise']):g}", color=colour, ms=2)
    panel.legend()


def _memory(sheet: Sheet, found: xr.Dataset) -> None:
    looks = {"cyclic": (style.BLUE, "cyclic: N-1+r$^{2N}$"), "random": (style.RED, "random: rank seen")}
    for axis, title, x in (
        ("size", "memory and size", "units N"),
        ("radius", "memory and radius", "spectral radius"),
    ):
        panel = sheet.panel(title, x, "memory (inputs)")
        for kind, (colour, label) in looks.items():
            rows = found.sel(kind=kind)
            look: dict[str, Any] = {"ls": "-" if kind == "cyclic" else "--", "color": colour}
            panel.predicted(rows[axis], rows[f"memory_by_{axis}_predicted"], label, **look)
            panel.measured(
                rows[axis], rows[f"memory_by_{axis}"], f"measured, {kind}", listed=False, color=colour
            )
        panel.legend()
    panel = sheet.panel("what a state knows", "lag (steps)", "R$^2$ of the past input")
    for name, colour in zip(found["state"].values, (style.BLUE, style.GREEN), strict=True):
        rows = found.sel(state=name)
        panel.predicted(rows["lag"], rows["decoded_predicted"], str(name), color=colour)
        few = rows.isel(lag=slice(0, None, 2))
        panel.measured(few["lag"], few["decoded"], f"{name}, measured", listed=False, color=colour, ms=2.5)
    panel.legend()
    panel = sheet.panel("tasks", "", "NRMSE", ylim=(0, None))
    at = np.arange(found.sizes["task"])
    panel.measured(
        at, found["nrmse"].sel(reader="linear filter"), "linear filter", color=style.GREY, marker="s"
    )
    panel.measured(at, found["nrmse"].sel(reader="reservoir"), "reservoir", color=style.BLUE)
    if np.isfinite(found["nrmse_reservoirpy"]).any():
        panel.measured(at, found["nrmse_reservoirpy"], "reservoirpy", color=style.ORANGE, marker="x", ms=5)
    panel.ax.set_xticks(at, [str(t).split(",")[0].replace("-G", "-\nG") for t in found["task"].values])
    panel.ax.set(xlim=(-0.5, len(at) - 0.5), ylim=(0, None))
    panel.legend()
