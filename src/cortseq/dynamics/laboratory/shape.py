"""The shape of the slow points and of the visited states: how many loops they make."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics.fixed_points import rms_spread
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.dynamics.quantities import NEAR
from cortseq.dynamics.topology import loops

_VISITED = 1000  # states of each member


def loops_of_states(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Count the loops of each member's slow and fixed points near the data, and of its visited states.

    Both are (member,); the longest bar and that of the clouds without structure are kept beside the second.
    """
    slow, visited, longest = [], [], []
    for member in range(subject.members):
        states = subject.visited(member, _VISITED)
        points = found["slow_points"].values[member]
        slow.append(loops(_near(points[np.isfinite(points).all(1)], states), subject.seed).count)
        shape = loops(states, subject.seed)
        visited.append(shape.count)
        longest.append((shape.bars.max(initial=0.0), shape.null))
    return {
        "slow_loops": ("member", np.array(slow)),
        "visited_loops": ("member", np.array(visited)),
        "visited_bars": (("member", "bar"), np.array(longest)),
    }, {}


def _near(points: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the points (n, dim) that lie within one rms spread of a visited state."""
    from scipy.spatial.distance import cdist

    return np.asarray(points[cdist(points, states).min(1, initial=np.inf) <= NEAR * rms_spread(states)])
