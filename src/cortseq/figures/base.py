"""What a figure declares about itself, and what several figures read alike."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cortseq.figures import style
from cortseq.products import Facts, Products
from cortseq.scoring import failures
from cortseq.scoring.scored import chosen as chosen

if TYPE_CHECKING:
    import pandas as pd


def _always(facts: Facts) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the study (`scope` "study") or of each recording ("recording").

    Its rule takes the inputs from `needs`, the report its title, caption and place.
    """

    title: str
    caption: str | Callable[[Facts], str]  # what to look at, and what it means
    needs: tuple[str, ...]  # names of products (`cortseq.products.PATHS`)
    # The matplotlib figure, and a table with exactly what is drawn.
    draw: Callable[..., tuple[Any, pd.DataFrame]]
    read: Callable[[Products], dict[str, Any]]  # arguments of `draw` from the products
    applies: Callable[[Facts], bool] = _always
    scope: str = "recording"
    place: int = 1000  # order in the report
    printed: bool = True  # False: a detail that is left to the screen where the report is printed

    def text(self, facts: Facts) -> str:
        """Return the caption in the words of one recording."""
        return self.caption(facts) if callable(self.caption) else self.caption


def comparison(products: Products) -> pd.DataFrame:
    """Return the rows of comparison.csv that have numbers; variants that failed have none."""
    found, _ = failures.split(products.read("comparison"))
    return found


def without_averages(comparison: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of averaged members, which are no models of their own."""
    return comparison[~comparison["averaged"]]


def looks(table: pd.DataFrame) -> dict[str, style.Look]:
    """Return how each model of a study is drawn, by its name and by the names of its variants.

    `table`: comparison.csv or variants.csv of all recordings, whose models stand in the order of the study.
    """
    rows = without_averages(table) if "averaged" in table else table
    found = style.looks(zip(rows["model"], rows["role"], strict=True))
    return found | {v: found[m] for v, m in zip(rows["variant"], rows["model"], strict=True)}


def metric(comparison: pd.DataFrame, dataset: str) -> str:
    """Return the metric of one recording, such as "bits_per_spike"."""
    return comparison[comparison["dataset"] == dataset]["metric"].iloc[0]


def flowing(facts: Facts) -> bool:
    """Tell whether the dynamics of some variant are dissected."""
    return bool(facts.flowing)


DISSECTED = ("variants", "dynamics")


def dissections(products: Products, variable: str = "") -> dict[str, Any]:
    """Read the dissections of the chosen networks, best first; with `variable` only those that have it."""
    known = {variant: fold for variant, fold in products.keys("dynamics")}
    names = chosen(products.read("variants"), products.dataset, "recurrent")
    found = {name: products.read("dynamics", name, known[name]) for name in names if name in known}
    return {"dissections": {name: one for name, one in found.items() if not variable or variable in one}}


def coloured(products: Products, variable: str = "") -> dict[str, Any]:
    """Read dissections as `dissections`, and how their networks are drawn."""
    return {**dissections(products, variable), "looks": looks(products.read("variants"))}


# A figure that is drawn from all dissections of a recording.
of_dynamics = functools.partial(Figure, needs=DISSECTED, applies=flowing, read=dissections)
