"""How figures look, and how they are written: deterministic SVG, PDF and the CSV of what is drawn."""

from __future__ import annotations

import contextlib
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cortseq import store
from cortseq._lazy import lazy, pd
from cortseq.observations.tracks import TRACKS

if TYPE_CHECKING:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
else:
    matplotlib = lazy("matplotlib")

COLUMN, PAGE = 3.5, 7.0  # inches: one and two columns of a journal page
# Okabe & Ito's palette: told apart by colour-blind readers and in grey.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000 #E69F00 #56B4E9 #009E73 #F0E442 #0072B2 #D55E00 #CC79A7".split()
)
CATEGORIES = 6  # values that have a colour each; more are a sequence
_TICKS = 3  # on a logarithmic axis, at least
_ROWS, _NAME = 12, 8  # rows of an image that are all named, and letters of a name
TITLE = 34  # letters that fit above one of two panels side by side
GREY = "#8A8A8A"
ROLE_COLOURS = {"recurrent": BLUE, "markov": RED, "baseline": GREY, "null": "#C8C8C8"}
# of the models of a role, in the order of the study: a model looks the same in every figure
_COLOURS = {
    "recurrent": (BLUE, GREEN, ORANGE, PINK, SKY, "#6A3D9A"),
    "markov": (RED, "#8C3D00"),
    "baseline": (GREY, "#4D4D4D", "#111111"),
    "null": (ROLE_COLOURS["null"],),
}
_MARKERS, _DASHES = "osD^vPX", ("-", "--", ":", "-.")
# of the members of one model
CYCLE = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK, GREY)

_RC: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "Arial"],  # as wide as each other, nearly
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,  # of dense layers, which are pictures inside the figure
    "svg.hashsalt": "cortseq",
    "svg.fonttype": "none",  # text that can be selected and searched
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """How a model is drawn: models of one colour differ in their markers, and lines in their dashes."""

    colour: str
    marker: str
    dashes: str


def looks(models: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """Return the look of every model by its name.

    Parameters
    ----------
    models : pairs of name and role, in the order of the study.
    """
    found: dict[str, Look] = {}
    counts: dict[str, int] = {}
    for name, role in models:
        if name in found:
            continue
        colours, i = _COLOURS[role], counts.get(role, 0)
        counts[role] = i + 1
        dashes = _DASHES[i // len(colours) % len(_DASHES)]
        found[name] = Look(colours[i % len(colours)], _MARKERS[i % len(_MARKERS)], dashes)
    return found


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Use the project's rcParams."""
    import cycler

    with matplotlib.rc_context(_RC | {"axes.prop_cycle": cycler.cycler(color=CYCLE)}):
        yield


_place: ContextVar[SubFigure | None] = ContextVar("place", default=None)


@contextlib.contextmanager
def inside(place: SubFigure) -> Iterator[None]:
    """Let the next figure be drawn into a part of another one."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a Figure without pyplot (no global state), and its axes (row, column); see `inside`."""
    from matplotlib.figure import Figure

    fig: Any = _place.get() or Figure(figsize=(width, height), layout="constrained")
    return fig, np.asarray(fig.subplots(rows, columns, squeeze=False, **options))


def save(fig: Figure, table: pd.DataFrame, stem: str | Path) -> None:
    """Write `stem`.svg, .pdf and .csv; the same figure gives the same bytes."""
    _without_mathematics(fig, table)
    with style():
        for suffix, metadata in ((".svg", {"Date": None}), (".pdf", {"CreationDate": None})):
            with store.atomic(f"{stem}{suffix}") as temporary:
                fig.savefig(temporary, format=suffix[1:], metadata=metadata)
                if suffix == ".svg":
                    _number_names(temporary)
            fig.set_layout_engine("none")  # laid out once, which takes as long as drawing
    store.write_table(table, f"{stem}.csv")


def _number_names(file: Path) -> None:
    """Give the parts of an SVG numbers as names.

    Matplotlib names them by hashes of coordinates, whose last bits vary between runs.
    """
    numbers: dict[str, int] = {}
    named = re.compile(r'(?<=["#])[A-Za-z][0-9a-f]{10}(?=[")])')
    text = file.read_text(encoding="utf-8")
    text = named.sub(lambda found: f"{found[0][0]}{numbers.setdefault(found[0], len(numbers))}", text)
    file.write_text(text, encoding="utf-8")


def _without_mathematics(fig: Figure, table: pd.DataFrame) -> None:
    """Show names that come from data as they are: matplotlib reads a pair of dollar signs as mathematics."""
    from matplotlib.text import Text

    texts = [table[c].unique() for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    names = {str(v) for v in [*table.columns, *itertools.chain(*texts)] if "$" in str(v)}
    if not names:
        return
    for ax in fig.axes:
        ax.get_xticklabels(), ax.get_yticklabels()  # made when they are asked for
    for text in fig.findobj(Text):
        if any(name in text.get_text() for name in names):
            text.set_parse_math(False)


def wrapped(name: str, width: int = 18) -> str:
    """Break a name into lines of at most `width` letters, after underscores."""
    return "\n".join(textwrap.wrap(name.replace("_", "_ "), width)).replace("_ ", "_")


def name_ends(ax: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Write names of lines right of a linear y axis, apart from each other, with a thin line to their ends.

    Parameters
    ----------
    ends : name, x, y and colour of each line's last point; the limits of the axis must be set.
    """
    low, high = ax.get_ylim()
    gap = 8.5 / (72 * ax.get_figure().get_size_inches()[1] * 0.75)  # type: ignore[union-attr]  # of the axes
    ordered = sorted(ends, key=lambda end: end[2])
    at = np.array([min(max((y - low) / (high - low), 0.0), 1.0) for _, _, y, _ in ordered])
    steps = gap * np.arange(len(at))
    # pushed up from below, and down from above: their mean keeps the gaps and stays near the ends
    up, down = np.maximum.accumulate(at - steps), np.minimum.accumulate((at - steps)[::-1])[::-1]
    places = (up + down) / 2 + steps
    leader: dict[str, Any] = {"arrowstyle": "-", "lw": 0.4, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    if len(at):
        top = max(1.0, steps[-1])
        places = np.minimum(
            np.maximum.accumulate(np.maximum(places, steps) - steps) + steps, top - steps[::-1]
        )
    for (name, x, y, colour), place in zip(ordered, places, strict=True):
        ax.annotate(
            name,
            (x, min(max(y, low), high)),
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=6.5,
            color=colour,
            arrowprops=leader | {"color": colour},
        )


def say(ax: Axes, text: str) -> None:
    """Write an explanation where there is nothing to draw."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, wrap=True)
    ax.set_xticks([])
    ax.set_yticks([])


def short_logarithm(axis: Axis) -> None:
    """Plain numbers at 1, 2, 5 on a logarithmic axis under two decades: powers of ten are too few there."""
    low, high = axis.get_view_interval()
    if axis.get_scale() != "log" or high > 100 * low:
        return
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    values = [m * p for p in powers for m in (1, 2, 5) if low <= m * p <= high]
    if len(values) < _TICKS:
        values = [v for v in _evenly(low, high) if low <= v <= high]
    axis.set_ticks(values, [f"{v:.6g}" for v in values])
    axis.set_ticks([], minor=True)


def _evenly(low: float, high: float) -> np.ndarray:
    """Return a few round numbers at equal distances, for an axis too short for powers."""
    from matplotlib.ticker import MaxNLocator

    return np.asarray(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high))


def whole_ticks(axis: Axis) -> None:
    """Put ticks of an axis that counts at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def whole_bar(bar: Colorbar) -> None:
    """Put ticks of a colour bar of counts at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    bar.locator = MaxNLocator(4, integer=True)
    bar.update_ticks()


def name_rows(axis: Axis, names: Sequence[Any]) -> None:
    """Write the names of rows 0, 1, ... of an image at its axis: all of a few rows, some of many.

    A name that is too long keeps its end, in which the units of one probe differ.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    words = [str(name) if len(str(name)) <= _NAME else f"…{str(name)[1 - _NAME :]}" for name in names]

    def word(value: float, _: Any) -> str:
        row = round(value)
        return words[row] if 0 <= row < len(words) and abs(value - row) < 1e-6 else ""

    few = len(words) <= _ROWS
    axis.set_major_locator(FixedLocator(range(len(words))) if few else MaxNLocator(6, integer=True))
    axis.set_major_formatter(FuncFormatter(word))


def steps(metric: str) -> str:
    """Return what a score counts time in, "symbols" or "bins"."""
    return "symbols" if metric == "bits_per_symbol" else "bins"


def timed(one: Any) -> bool:
    """Whether a product counts time in seconds, and not in symbols."""
    return TRACKS[one.attrs["track"]].timed


def key(fig: Figure, axes: np.ndarray, scale: Any, label: str, names: Sequence[str] = ()) -> None:
    """Say right of the axes what the colours of `label_colours` mean: a legend of a few values, else a bar.

    `axes` (row, column): of the figure. `names`: of the values 0, 1, ..., where these stand for words.
    """
    from matplotlib.colors import BoundaryNorm
    from matplotlib.lines import Line2D

    if not isinstance(scale.norm, BoundaryNorm):
        bar = fig.colorbar(scale, ax=axes, label=label, shrink=0.7)
        if names:
            bar.set_ticks(range(len(names)), labels=list(names), parse_math=False)
        return
    known = scale.get_array()
    lines = [Line2D([], [], color=colour) for colour in scale.to_rgba(known)]
    words = [names[int(v)] if names else f"{v:g}" for v in known]
    fig.legend(lines, words, title=label, title_fontsize=7, loc="outside right center")


def is_angle(name: str) -> bool:
    """Whether a covariate of this name is an angle in radians."""
    return any(word in name for word in ("direction", "angle", "phase"))


def label_colours(values: np.ndarray, name: str) -> Any:
    """Return the colours of `values` (of any shape; then 4), and a mappable for `key`.

    They are cyclic for angles, one for each of a few values, and a sequence of more than `CATEGORIES`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    angle, known = is_angle(name), np.unique(values[np.isfinite(values)])
    if not angle and 0 < len(known) <= CATEGORIES:
        edges = np.concatenate([[known[0] - 1], (known[1:] + known[:-1]) / 2, [known[-1] + 1]])
        few = ListedColormap(_COLOURS["recurrent"][: len(known)])
        scale = ScalarMappable(BoundaryNorm(edges, len(known)), few)
        scale.set_array(known)
        return scale.to_rgba(values), scale
    low, high = (0.0, 2 * np.pi) if angle else np.nanquantile(values, [0.02, 0.98])
    values = np.mod(values, 2 * np.pi) if angle else values
    # the lightest part of the cyclic map would vanish on white paper
    cyclic = ListedColormap(
        np.clip(matplotlib.colormaps["twilight"](np.linspace(0, 1, 256))[:, :3] * 0.8, 0, 1)
    )
    scale = ScalarMappable(Normalize(low, high if high > low else low + 1), cyclic if angle else "viridis")
    return scale.to_rgba(values), scale
