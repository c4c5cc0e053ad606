"""What BPTT costs, and what truncation costs instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortseq._lazy import pd, xr
from cortseq.figures import style
from cortseq.textbook.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: xr.Dataset) -> tuple[Figure, pd.DataFrame]:
    """Draw the panels; return the figure and the table of its numbers.

    Lines: laws through the last point (cost), theory without constants (bias). Markers: measured.
    """
    with style.style():
        sheet = Sheet(2, 3, 4.8)
        _time(sheet, found, "bins", "bins T", "∝ T")
        _time(sheet, found, "hidden", "units H", "∝ H² + 100 H")
        _memory(sheet, found)
        _bias(sheet, found, 0, "every loss goes back k")
        _bias(sheet, found, 1, "windows of k side by side")
        _cosine(sheet, found)
        return sheet.figure, sheet.table()


def _time(sheet: Sheet, found: xr.Dataset, name: str, label: str, law: str) -> None:
    title = f"time against {label[-1]}"
    panel = sheet.panel(title, label, "time of a step (ms)", xscale="log", yscale="log")
    panel.predicted(found[name], 1e3 * found[f"time_of_{name}_predicted"], law, color=style.BLACK)
    panel.measured(found[name], 1e3 * found[f"time_of_{name}"], "measured", color=style.BLUE)
    panel.legend(2)


def _memory(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("memory against T", "bins T", "activations kept (MiB)", xscale="log", yscale="log")
    x = found["memory_bins"]
    for mode, colour, law in zip(found["mode"].values, style.CYCLE, ("T", "1", "√T"), strict=False):
        rows, series = found.sel(mode=mode), f"{mode} ∝ {law}"
        panel.predicted(x, rows["kept_predicted"] / 2**20, series, listed=False, color=colour)
        panel.measured(x, rows["kept"] / 2**20, series, color=colour)
    panel.legend()


def _bias(sheet: Sheet, found: xr.Dataset, window: int, title: str) -> None:
    panel = sheet.panel(title, "k (bins)", "relative error of the gradient", yscale="log")
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        rows, series = found.sel(gain=gain).isel(window=window), f"g = {gain:g}"
        panel.predicted(rows["depth"], rows["error_predicted"], series, listed=False, color=colour)
        panel.measured(rows["depth"], rows["error"], series, color=colour)
    panel.ax.set_ylim(bottom=max(1e-5, 0.5 * float(found["error"].isel(window=window).min())))
    panel.legend(3)


def _cosine(sheet: Sheet, found: xr.Dataset) -> None:
    panel = sheet.panel("windows of k: direction", "k (bins)", "cosine with the full gradient")
    for gain, colour in zip(found["gain"].values, style.CYCLE, strict=False):
        rows = found.sel(gain=gain).isel(window=1)
        panel.measured(rows["depth"], rows["cosine"], f"g = {gain:g}", color=colour, ls="-", lw=0.8)
    panel.legend(3)
