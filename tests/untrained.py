"""Fits whose weights a test writes itself: nothing is learned."""

import numpy as np
from families import flowing, recurrent, small

from cortseq.networks import untrained as start


def untrained(model, recording, members=1, seed=0, **given):
    """A Fit of `model` to `recording` with its start parameters; `given` replace them (no member axis)."""
    fit = start.untrained(model, recording, members, seed, **given)
    for name, value in given.items():
        assert tuple(fit.params[name].shape[1:]) == np.shape(value), (name, fit.params[name].shape)
    return fit


def every_recurrent(hidden=8):
    """One specification of every recurrent family."""
    return [small(name, hidden=hidden) for name in recurrent()]


def every_flowing(hidden=8):
    """One specification of every recurrent family whose state is that of a dynamical system."""
    return [small(name, hidden=hidden) for name in flowing()]
