"""Networks and chains against order: exact entropies, held-out bits, parameters, and how far states move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = "order k (symbols)"


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Lines: exact entropies and bounds. Markers: fitted models on held-out sequences. A sixth panel for a
    recording.
    """
    with style.style():
        sheet = Sheet(2, 3, 5.4)
        _even(sheet, found)
        _copy(sheet, found)
        _parameters(sheet, found)
        _few(sheet, found)
        _steps(sheet, found)
        if "recorded_markov" in found:
            _recorded(sheet, found)
        return sheet.figure, sheet.table()


def _even(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("even process", ORDER, "bits/symbol")
    order = found["order"].values
    panel.predicted(order, found["even_exact"], "exact h_k", color=style.BLACK)
    panel.predicted(order[[0, -1]], found["even_rate"], "entropy rate", color=style.GREY, ls="--")
    panel.measured(order, found["even_markov"], "Markov", color=style.RED)
    tree: dict[str, Any] = {"color": style.ORANGE, "marker": "^", "mfc": "none", "ms": 5}
    panel.measured(order, found["even_tree"], "context tree", **tree)
    recalled: dict[str, Any] = {"color": style.SKY, "marker": "D", "ms": 2.5}
    panel.measured(found["remembered"], found["even_recalled"], "LSTM, last k", **recalled)
    panel.measured([order[-1] + 1], found["even_network"], "LSTM", color=style.BLUE, marker="s")
    panel.legend(2)


def _copy(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel(f"copy from lag {found.attrs['lag']}", ORDER, "bits/symbol")
    panel.predicted(found["copy_order"], found["copy_exact"], "exact h_k", color=style.BLACK)
    panel.measured(found["copy_order"], found["copy_markov"], "Markov", color=style.RED)
    panel.legend(2)


def _parameters(sheet: Sheet, found: xr.Dataset) -> None:
    m = found.attrs["symbols"]
    panel = sheet.panel(f"{m} symbols", ORDER, "free parameters", yscale="log")
    panel.predicted(found["copy_order"], found["copy_parameters"], "m^k (m - 1)", color=style.BLACK)
    panel.measured(found["copy_order"], found["copy_contexts"] * (m - 1), "of contexts seen", color=style.RED)
    panel.ax.axhline(found.attrs["n_learned"], color=style.GREY, lw=0.8, ls=":", label="symbols learned from")
    panel.legend()


def _few(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("from few symbols", ORDER, "held-out bits/symbol")
    order = found["order"].values
    panel.predicted(order, found["even_exact"], "exact h_k", color=style.BLACK)
    colours = (style.RED, style.ORANGE, style.GREEN, style.BLUE)
    for n, colour in zip(found["n_symbols"].values, colours, strict=False):
        rows, best = found["few_markov"].sel(n_symbols=n), int(found["few_best"].sel(n_symbols=n))
        panel.measured(order, rows, f"from {n}", color=colour, ls="-", lw=0.7, ms=2.5)
        ring: dict[str, Any] = {"listed": False, "color": colour, "mfc": "none", "ms": 7}
        panel.measured([best], rows.sel(order=best), f"best from {n}", **ring)
    panel.legend(2)


def _steps(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("jumps and steps", "clusters K", "mean step (sd)", xscale="log", yscale="log")
    k = found["clusters"].values
    panel.predicted(k, found["spacing"], "least centroid distance", color=style.BLACK)
    panel.measured(k, found["jump"], "jump of the chain", color=style.RED)
    for of, colour in (("signal", style.GREY), ("network", style.BLUE)):
        look: dict[str, Any] = {"color": colour, "marker": "", "ls": "--", "lw": 1}
        panel.measured(k[[0, -1]], found[f"{of}_step"], f"step of the {of}", **look)
    panel.legend()


def _recorded(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("recording", ORDER, "held-out bits/symbol")
    looks = (("markov", "Markov", style.RED, "o"), ("tree", "context tree", style.ORANGE, "^"))
    for name, label, colour, marker in looks:
        look: dict[str, Any] = {"color": colour, "marker": marker, "ls": "-", "lw": 0.7, "mfc": "none"}
        panel.measured(found["order"], found[f"recorded_{name}"], label, **look)
    panel.legend(2)
