"""Every analysis of one fitted variant as one Dataset.

What figures of dynamics and the table of verdicts stand on.

An analysis is a function of a Subject that returns variables with a leading `member` axis, and nothing where
it does not apply; where it cannot be done, the attribute `not_done` says why. Variables that end in
`left_out` (group, member) are a number of each member with one of ten groups of trials left out, for its
error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.data import evenly, few
from cortseq.dynamics import analyse
from cortseq.dynamics.laboratory import (
    cells,
    closed_loop,
    enumerated,
    likeness,
    open_loop,
    pulses,
    shape,
    weights,
)
from cortseq.dynamics.laboratory.closed_loop import SAME_POINT
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.errors import CortseqError

__all__ = ["ANALYSES", "NUMBERS", "SAME_POINT", "Subject", "examine"]

ANALYSES = (
    closed_loop.vector_field,
    closed_loop.lines,
    shape.loops_of_states,
    closed_loop.exponents,
    closed_loop.twins,
    closed_loop.expected,
    closed_loop.surprise,
    closed_loop.shared,
    enumerated.every_point,
    open_loop.conditions,
    open_loop.echo,
    open_loop.conditional,
    open_loop.reach,
    open_loop.bound,
    open_loop.past,
    open_loop.dimension,
    pulses.pulses,
    open_loop.seeds,
    open_loop.common_plane,
    likeness.operators,
    likeness.signs,
    weights.bulk,
    weights.echo_bounds,
    weights.capacity,
    weights.mean_field,
    cells.currents,
    cells.release,
)
_DRAWN = (  # analyses that figures show and the table has no line of
    closed_loop.vector_field,
    open_loop.conditions,
    open_loop.bound,
    open_loop.past,
    open_loop.common_plane,
    weights.bulk,
    cells.release,
)
NUMBERS = tuple(analysis for analysis in ANALYSES if analysis not in _DRAWN)


def examine(
    fit: Any,
    recording: xr.Dataset,
    train: Any,
    test: Any,
    label_name: str = "",
    seed: int = 0,
    say: Callable[[str], Any] = print,
    analyses: Sequence[Callable[..., Any]] = ANALYSES,
) -> xr.Dataset:
    """Run all analyses of a recurrent Fit, or some of them.

    Parameters
    ----------
    recording : the Recording it was fitted to.
    train, test : positions of trials; 64 of `test` are used.
    label_name : covariate of the recording that makes conditions ("" or unknown: none).
    say : progress.
    analyses : functions of a Subject and what is found so far; NUMBERS of a control.
    """
    test = few(recording, evenly(test, analyse.MAX_TRIALS))
    label = recording[label_name].values if label_name in recording.coords else None
    subject = Subject(fit, recording, np.asarray(train, int), test, label, seed)
    found = analyse.dissect_fit(fit, recording, test, label_name, seed)
    found.attrs["not_done"] = []
    for analysis in analyses:
        say(f"dynamics: {analysis.__name__}")
        try:
            variables, attrs = analysis(subject, found)
        except CortseqError as error:  # such as trials too short for a test: the others still tell something
            name, reason = analysis.__name__.replace("_", " "), str(error).splitlines()[0]
            say(f"dynamics: no {name}: {reason}")
            variables, attrs = {}, {"not_done": [*found.attrs["not_done"], f"{name}: {reason}"]}
        found = found.assign(variables).assign_attrs(attrs)
    return found
