"""Short-term plasticity: steady states, filtering, trains and a silent memory; theory as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"depressing": style.BLUE, "facilitating": style.RED}


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers."""
    with style.style():
        sheet = Sheet(2, 3, 4.6)
        _steady(sheet, found)
        _train(sheet, found)
        _memory(sheet, found)
        return sheet.figure, sheet.table()


def _steady(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("steady states", "rate (Hz)", "u, x", xscale="log")
    for name, colour in COLOURS.items():
        rows = found.sel(synapse=name)
        for variable, line, marker in (("u", "-", "o"), ("x", "--", "s")):
            one = rows.sel(variable=variable)
            panel.predicted(
                one["rate"], one["settled_predicted"], f"{name}, {variable}", color=colour, ls=line
            )
            panel.measured(
                one["rate"],
                one["settled"],
                f"{name}, {variable}, Runge-Kutta",
                listed=False,
                color=colour,
                marker=marker,
            )
    panel.legend(2)
    for title, power in (("release per spike", 0), ("transmission", 1)):
        unit = "r u x (1/s)" if power else "u x"
        panel = sheet.panel(title, "rate (Hz)", unit, xscale="log", **({} if power else {"yscale": "log"}))
        for name, colour in COLOURS.items():
            rows = found.sel(synapse=name)
            scale = rows["rate"] ** power
            panel.predicted(rows["rate"], scale * rows["release_predicted"], f"{name}, Poisson", color=colour)
            panel.predicted(
                rows["rate"], scale * rows["release_of_mean"], "mean equations", color=colour, ls=":"
            )
            half = 1.96 * rows["release_error"]
            low, high = scale * (rows["release"] - half), scale * (rows["release"] + half)
            panel.measured(rows["rate"], scale * rows["release"], "measured", low, high, color=colour)
        if not power:
            panel.ax.axvline(float(found["peak_rate_predicted"]), color=style.RED, lw=0.6, zorder=0)
        panel.legend(2)


def _train(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("regular train, 20 Hz", "spike", "release u x")
    for name, colour in COLOURS.items():
        rows = found.sel(synapse=name)
        last = float(rows["train_predicted"].sel(train_end="steady"))
        panel.predicted(rows["train_spike"], last, f"{name}, steady", color=colour)
        panel.measured(rows["train_spike"], rows["train"], "spike by spike", color=colour)
    panel.legend(2)


def _memory(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("silent memory", "time after the cue (s)", "cue decoded (AUC)", ylim=(0.35, 1.05))
    panel.predicted(found["delay"], 0.5, "chance", color=style.GREY)
    for name, colour in (("rates", style.BLUE), ("u x", style.RED)):
        panel.measured(found["delay"], found["auc"].sel(cue_from=name), f"from {name}", color=colour, ms=2.5)
    panel.legend(2)
    panel = sheet.panel(
        "decay of the trace", "time after the cue (s)", "u of cued units - rest", yscale="log"
    )
    trace = found["trace"]
    after = found["delay"].values > -1e-9
    shown = np.where(after, trace, np.nan)
    rate = "exp(-(1/$\\tau_{fac}$ + U $r_0$) t)"
    panel.predicted(found["delay"], found["trace_predicted"], rate, color=style.RED)
    panel.measured(found["delay"], shown, "measured", color=style.RED)
    panel.legend(2)
