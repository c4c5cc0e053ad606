"""All fixed points of networks of rectified units, beside those that the search found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics import enumeration
from cortseq.dynamics.fixed_points import fixed_points
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.networks import rectified

if TYPE_CHECKING:
    from cortseq.flow import Map

_MOST_REGIONS = 50_000  # of a member: 64 units of rank 3 take a second
_STARTS = 64  # of the search under the mean input
_SAME = 1e-6  # distance of a point that the search found to the point that it is, in units of 1 + its norm


def every_point(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Count all fixed points of networks of rectified units, (member,), where few regions are to be seen.

    Those under the mean of the observations of the test trials, with how many of them a search from visited
    states finds, and of signals those of the closed loop, which is linear in each region too. NaN where there
    is a continuum.
    """
    model = subject.fit.model
    if not model.rectified:
        return {}, {}
    held = _mean_input(subject)
    variables: dict[str, Any] = {}
    if (every := _every(subject, "open", held)) is not None:
        searched = [_found(subject, member, held, whole.states) for member, whole in enumerate(every)]
        variables["held_points"] = ("member", _counts(every))
        variables["held_points_found"] = ("member", np.array(searched, float))
    linear = subject.fit.member(0).network.observation.linear
    if linear and (every := _every(subject, "closed", None)) is not None:
        variables["every_point"] = ("member", _counts(every))
    return variables, {}


def _every(subject: Subject, map: Map, held: Any) -> list[enumeration.EveryFixedPoint] | None:
    """Return all fixed points of each member; None where there are too many regions."""
    found = []
    for member in range(subject.members):
        w, c = rectified.equation(subject.fit.member(member), subject.fit.card, map, held)
        into, out = enumeration.factors(w)
        if enumeration.most(*into.shape) > _MOST_REGIONS:
            return None
        found.append(enumeration.solutions(into, out, c))
    return found


def _counts(every: list[enumeration.EveryFixedPoint]) -> np.ndarray:
    """Return the number of fixed points of each member, (member,); NaN where there may be a continuum."""
    return np.array([np.nan if whole.singular else float(len(whole.states)) for whole in every])


def _found(subject: Subject, member: int, held: np.ndarray, states: np.ndarray) -> int:
    """Return how many of the fixed points (n, hidden) the search finds from visited states."""
    flow = subject.fit.flow(member, "open", input=held)
    points = fixed_points(flow, subject.visited(member, _STARTS), seed=subject.seed).states
    apart = np.linalg.norm(states[:, None] - points[:, : states.shape[1]], axis=2)  # behind it: a skip
    return int((apart.min(1, initial=np.inf) < _SAME * (1 + np.linalg.norm(states, axis=1))).sum())


def _mean_input(subject: Subject) -> np.ndarray:
    """Return the mean observation of the test trials, (feature,); of symbols the share of each label."""
    data = subject.fit.model.given(subject.recording, subject.test)
    return np.asarray(data.kind.encoded(data.y, data.n_features)[data.valid].mean(0))
