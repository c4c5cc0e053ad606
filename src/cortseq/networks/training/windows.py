"""Trials cut into what a network of limited memory sees: windows of k + 1 bins, the last one scored.

The network starts anew in every window, so the loss of a window is that of the k-bin predictor at its last
bin. Bins t < k have their whole past in the window, which begins with the trial and ends at t. All windows
together cost k + 1 times a pass over the trials; an epoch takes as many at random as cost `COST` passes at
most.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cortseq.data import Data

COST = 4  # passes over the trials


def limits(memory: int | None, data: Data) -> bool:
    """Whether `memory` keeps a network from seeing the start of some trial."""
    return memory is not None and memory < data.y.shape[1] - 1


def draw(data: Data, memory: int, seed: int, epoch: int) -> Data:
    """Return the windows of one epoch, as many in each; a function of (seed, epoch)."""
    trial, last = np.nonzero(data.valid)
    n = min(len(trial), -(-COST * len(trial) // (memory + 1)))
    rng = np.random.default_rng([seed, epoch, 8])
    chosen = np.sort(rng.choice(len(trial), n, replace=False))
    return ending(data, memory, trial[chosen], last[chosen])


def ending(data: Data, memory: int, trial: np.ndarray, last: np.ndarray) -> Data:
    """Return the windows of memory + 1 bins that end at bins `last` of `trial`, both (window,).

    Each is scored at its last bin. A window of an early bin is shorter: it begins with the trial and is
    filled up with missing bins.
    """
    bins = np.maximum(last - memory, 0)[:, None] + np.arange(memory + 1)
    inside = bins <= last[:, None]
    cut = data.at((trial[:, None], np.minimum(bins, data.y.shape[1] - 1)))
    scored = bins == last[:, None]
    return replace(cut, valid=cut.valid & inside, scored=scored)
