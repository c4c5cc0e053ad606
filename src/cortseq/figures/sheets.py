"""Figures of a study put together on one sheet, with letters: what `figures:` of a study asks for."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cortseq._lazy import pd
from cortseq.figures import style
from cortseq.products import Facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cortseq.figures import base

_ROOM = 0.4  # inches beside what stands over a panel: for its letter
WIDTHS = {"single": style.COLUMN, "double": style.PAGE}


class Sheet(BaseModel):
    """Some figures of one recording, row by row. `[[a, b], [c]]` is short for `{rows: [[a, b], [c]]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rows: list[list[str]] = Field(
        description="names of figures, a list for each row; letters follow this order"
    )
    dataset: str = Field("", description='whose figures; "": of the only dataset')
    size: Literal["single", "double"] = Field("double", description="one or two columns of a journal's page")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, content: Any) -> Any:
        return {"rows": content} if isinstance(content, list) else content

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.rows or not all(self.rows):
            raise ValueError("a sheet has at least one figure in each row")
        if len(self.panels) > len(string.ascii_uppercase):
            raise ValueError(f"a sheet has at most {len(string.ascii_uppercase)} figures")
        return self

    @property
    def panels(self) -> list[str]:
        """Return the names of its figures in the order of the letters."""
        return [name for row in self.rows for name in row]

    def caption(self, figures: Mapping[str, base.Figure], facts: Mapping[str, Facts]) -> str:
        """Return the captions of its figures, each with its letter; facts by panel."""
        parts = []
        for letter, name in zip(string.ascii_uppercase, self.panels, strict=False):
            title = figures[name].title
            parts.append(
                f"{letter}: {title}{'' if title[-1] in '?.!' else '.'} {figures[name].text(facts[name])}"
            )
        return " ".join(parts)


def draw(sheet: Sheet, drawers: Sequence[Any]) -> tuple[Figure, pd.DataFrame]:
    """Draw a sheet; every row is as high as its highest figure is by itself.

    Parameters
    ----------
    sheet : what it shows.
    drawers : for each panel a function () -> (matplotlib figure, table), in the order of the letters.

    Returns
    -------
    The figure, and the tables of all panels below each other with the column `letter`.
    """
    from matplotlib.figure import Figure

    heights = iter([drawn()[0].get_size_inches()[1] for drawn in drawers])
    rows = [max(next(heights) for _ in row) for row in sheet.rows]
    fig = Figure(figsize=(WIDTHS[sheet.size], sum(rows)), layout="constrained")
    places = fig.subfigures(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    spots = [
        spot
        for place, row in zip(places, sheet.rows, strict=True)
        for spot in place.subfigures(1, len(row), squeeze=False)[0]
    ]
    tables = []
    for letter, spot, drawn in zip(string.ascii_uppercase, spots, drawers, strict=False):
        with style.inside(spot):
            _, table = drawn()
        with style.style():
            _narrow(spot, WIDTHS[sheet.size] * spot.bbox.width / fig.bbox.width)
            spot.text(0.005, 0.995, letter, weight="bold", size=11, va="top", ha="left")
        tables.append(table.assign(letter=letter))
    return fig, pd.concat(tables, ignore_index=True)


def _narrow(spot: Any, width: float) -> None:
    """Break what stands over a panel into lines, and its legend into columns, of at most `width` inches."""
    for text in spot.texts:
        text.set_text(textwrap.fill(text.get_text(), int((width - _ROOM) / _letter(text.get_fontsize()))))
    for legend in spot.legends:
        texts = legend.get_texts()
        longest = max(len(text.get_text()) for text in texts)
        entry = (longest + 6) * _letter(texts[0].get_fontsize())  # 6: the mark before it, and the gap
        handles, names = legend.legend_handles, [text.get_text() for text in texts]
        legend.remove()
        spot.legend(handles, names, loc="outside lower center", ncols=max(1, int(width / entry)))


def _letter(size: float) -> float:
    """Return the width of a letter of `size` points in inches, about."""
    return 0.55 * size / 72
