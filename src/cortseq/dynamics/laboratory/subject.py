"""What an analysis is given: a fit, the trials it is examined on, and its states there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics import analyse

CONDITIONS = 4
_GROUPS = 10  # of trials, for jackknife errors


@dataclass(frozen=True)
class Subject:
    """A recurrent fit and the trials it is examined on.

    Attributes
    ----------
    fit : of a recurrent model.
    recording : the Recording it was fitted to.
    train : (trial,) positions that decoders learn on.
    test : (trial,) positions that all else sees.
    label : (trial,) or (trial, time) covariate of all trials of the recording, None without one.
    seed : of every random choice.
    """

    fit: Any
    recording: xr.Dataset
    train: np.ndarray
    test: np.ndarray
    label: np.ndarray | None = None
    seed: int = 0

    @property
    def members(self) -> int:
        """Number of members of the fit."""
        return self.fit.card["members"]

    @cached_property
    def states(self) -> np.ndarray:
        """Of the test trials before each bin, (member, trial, time, dim), NaN where a bin is missing."""
        return self.fit.states(self.recording, self.test).values

    def visited(self, member: int, n: int) -> np.ndarray:
        """Draw up to n visited states, (n, dim)."""
        return analyse.draw(self.states[member], n, self.seed + member)

    def left_out(self) -> list[np.ndarray]:
        """Return positions in `test` without one group of trials each.

        One array (trial,) per group.
        """
        return leave_out(len(self.test))


def leave_out(n: int) -> list[np.ndarray]:
    """Return the positions 0 .. n - 1 that remain when each group of trials is left out.

    For errors by the jackknife; none of one trial.

    One array (position,) per group.
    """
    groups = min(_GROUPS, n) if n > 1 else 0
    return [np.flatnonzero(np.arange(n) % groups != g) for g in range(groups)]
