"""Free-run error by strategy, avalanches on chaotic maps, scheduled sampling and forced gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^v*"


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers."""
    with style.style():
        sheet = Sheet(2, 3, 5.4)
        looks = dict(zip(found["strategy"].values, zip(style.CYCLE, MARKERS), strict=False))
        for signal in found["signal"].values:
            _signal(sheet, found.sel(signal=signal), str(signal), looks)
        _map(sheet, found, looks)
        _twins(sheet, found)
        _chain(sheet, found)
        _gradients(sheet, found)
        return sheet.figure, sheet.table()


def _signal(sheet: Sheet, rows: xr.Dataset, name: str, looks: dict[str, Any]) -> None:
    panel = sheet.panel(name, "steps ahead h", "squared error / $\\sigma^2$", xscale="log")
    panel.predicted(rows["horizon"], rows["error_predicted"], "best forecast", color=style.BLACK)
    for i, (strategy, (colour, marker)) in enumerate(looks.items()):
        line = rows.sel(strategy=strategy)
        x = line["horizon"] * (1 + 0.02 * (i - 2.5))
        panel.measured(
            x,
            line["error"],
            str(strategy),
            line["error_low"],
            line["error_high"],
            color=colour,
            marker=marker,
        )
    panel.legend()


def _map(sheet: Sheet, found: xr.Dataset, looks: dict[str, Any]) -> None:
    panel = sheet.panel("Henon map, free run", "steps ahead h", "error / sd (geom. mean)", yscale="log")
    line = found["map_error_predicted"]
    panel.predicted(found["horizon"], line.where(line < 1), "largest exponent", color=style.BLACK)
    for strategy, (colour, marker) in looks.items():
        rows = found.sel(strategy=strategy)
        panel.measured(rows["horizon"], rows["map_error"], str(strategy), color=colour, marker=marker)
    panel.legend()


def _twins(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("twin runs", "step", "distance (geom. mean)", yscale="log")
    for name, colour in zip(found["map"].values, style.CYCLE, strict=False):
        rows = found.sel(map=name)
        steps = rows["twin_step"]
        line = rows["twin_distance"].values[0] * np.exp(float(rows["largest_exponent"]) * steps)
        panel.predicted(steps, line.where(line < 1), f"{name}: exponent", color=colour)
        few = rows.isel(twin_step=slice(0, None, 3))
        panel.measured(
            few["twin_step"], few["twin_distance"], f"{name}, runs", listed=False, color=colour, ms=2.5
        )
    panel.legend()


def _chain(sheet: Sheet, found: xr.Dataset) -> None:
    from cortseq.textbook.phenomena.exposure import CHAIN
    from cortseq.theory.exposure import scheduled_sampling

    panel = sheet.panel("scheduled sampling", "teacher's probability", "bits, second symbol")
    grid = np.linspace(0, 1, 41)
    panel.predicted(
        grid, [scheduled_sampling(CHAIN, e).bits for e in grid], "minimiser of its loss", color=style.BLUE
    )
    panel.predicted(grid, float(scheduled_sampling(CHAIN, 1.0).bits), "the chain itself", color=style.GREY)
    panel.measured(found["probability"], found["bits"], "trained networks", color=style.BLUE)
    panel.legend()


def _gradients(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("generalised forcing", "$\\alpha$", "growth (nats/step)")
    order = found["alpha"].values.argsort()
    rows = found.isel(alpha=order)
    panel.predicted(
        rows["alpha"], rows["gradient_growth_predicted"], "$\\lambda$ + ln(1 - $\\alpha$)", color=style.BLUE
    )
    panel.measured(rows["alpha"], rows["gradient_growth"], "tanh, gain 1.5", color=style.BLUE)
    panel.ax.axhline(0, color="0.8", lw=0.7, zorder=0)
    panel.legend()
