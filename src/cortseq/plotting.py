"""Pictures of what a user holds in Python: `cortseq.plot`, and the method `plot` of fits and of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq.comparing import Comparison
from cortseq.dynamics.fixed_points import FixedPoints
from cortseq.errors import CortseqError
from cortseq.figures import findings, objects
from cortseq.models.fit import Fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(thing: Any, *arguments: Any, **options: Any) -> Figure:
    """Draw a fit, a comparison, or what an analysis returned, in the style of the project.

    Parameters
    ----------
    thing : Fit: its training curves, or with a recording what it predicts in a held-out trial; FixedPoints:
        where they lie, and their eigenvalues; Comparison: the gain of every model over the null; results of
        `cortseq.dynamics`, `theory` and `scoring` that have a method `plot`: one panel.
    arguments, options : of the `plot` method of `thing`.

    Returns
    -------
    figure : of matplotlib; `figure.savefig("fit.pdf")` writes it.

    Raises
    ------
    CortseqError : something else.
    """
    if isinstance(thing, Fit):
        return objects.fit(thing, *arguments, **options)
    if isinstance(thing, FixedPoints):
        return objects.fixed_points(thing, *arguments, **options)
    if isinstance(thing, Comparison):
        return thing.plot()
    drawn = findings.draw(thing)
    if drawn is not None:
        return drawn
    raise CortseqError(
        "there is no picture of this",
        key="plot",
        value=type(thing).__name__,
        fix="give a Fit, a Comparison, or a result that has a method plot",
    )
