"""Change of an old task's loss after a step for a new one, and what remedies keep over tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers."""
    prefixes = ["", "recording_"] if "recording_score" in found else [""]
    with style.style():
        sheet = Sheet(1 + len(prefixes), 3, 2.6 * (1 + len(prefixes)))
        _changes(sheet, found, "toy_change", "quadratic toy")
        _changes(sheet, found, "network_change", "networks, task 2 after 1")
        _ratio(sheet, found)
        for prefix in prefixes:
            _remedies(sheet, found, prefix)
        return sheet.figure, sheet.table()


def _changes(sheet: Sheet, found: xr.Dataset, name: str, title: str) -> None:
    panel = sheet.panel(title, "step size $\\eta$", "|change of the old loss|", xscale="log", yscale="log")
    values = {str(t): found[name].sel(term=t).values for t in found["term"].values}
    eta = found["eta"].values
    full = values["first"] + values["second"]
    panel.predicted(eta, np.abs(full), "first + second order", color=style.BLUE)
    panel.predicted(eta, values["gauss_newton"], "Gauss-Newton", color=style.RED, ls="--")
    first = np.abs(values["first"])
    if first.max() > 1e-9 * np.abs(full).max():  # rounding, at a minimum of the old task
        panel.predicted(eta, first, "first order", color=style.GREY, ls=":")
    panel.measured(eta, np.abs(values["measured"]), "measured", color=style.BLACK)
    panel.legend()


def _ratio(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("measured / predicted", "step size $\\eta$", "ratio", xscale="log")
    eta = found["eta"].values
    panel.predicted(eta, 1.0, "exact", color=style.BLACK)
    for name, label, colour in (("toy_change", "toy", style.BLUE), ("network_change", "networks", style.RED)):
        part = {str(t): found[name].sel(term=t).values for t in found["term"].values}
        panel.measured(eta, part["measured"] / (part["first"] + part["second"]), label, color=colour)
    panel.legend()


def _remedies(sheet: Sheet, found: xr.Dataset, prefix: str) -> None:
    remedies = [str(r) for r in found["remedy"].values]
    at = np.arange(len(remedies))
    title = "recording" if prefix else "three cycles"
    for name, label in (("acc", "average score"), ("bwt", "backward transfer")):
        panel = sheet.panel(f"{title}: {label}", "", "nats/event")
        if name == "bwt":
            panel.predicted([-0.4, len(at) - 0.6], 0.0, "nothing forgotten", color=style.GREY)
        elif not prefix:
            best = float(found["acc_predicted"])
            panel.predicted([-0.4, len(at) - 0.6], best, "law of the chains", color=style.BLACK)
        panel.measured(at, found[f"{prefix}{name}"], label, color=style.BLUE)
        panel.ax.set_xticks(at, [r.replace(" ", "\n") for r in remedies])
        panel.ax.set_xlim(-0.5, len(at) - 0.5)
        panel.legend()
    panel = sheet.panel(f"{title}: task 1", "tasks learned", "score (nats/event)")
    after = np.arange(1, found.sizes[f"{prefix}after"] + 1)
    for remedy, colour in zip(remedies, style.CYCLE, strict=False):
        panel.measured(
            after, found[f"{prefix}score"].sel(remedy=remedy)[:, 0], remedy, color=colour, ls="-", lw=0.7
        )
    panel.ax.set_xticks(after)
    panel.legend(2)
