"""What one bin is drawn from: one distribution a file, with every face that a model needs.

The observation follows from the recording and the study, never from the model: all models of a study share
it. Only the number of components of a mixture (`Mixture`) belongs to a model. `emission_of` gives the numpy
face (baselines, chains, hidden Markov models), `observation_of` the read-out of a network on torch tensors,
and `states_of` the expected statistics for EM. What depends on counts, symbols or signals alone is in
`cortseq.observations.tracks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq.observations import counts, gaussian
from cortseq.observations.base import (
    MAX_LOG_RATE,
    MIN_LOG_RATE,
    MIN_RATE,
    MIN_SD,
    Distribution,
    Readout,
    varying,
    with_dispersion,
)
from cortseq.observations.gaussian import autoregression, skipped
from cortseq.observations.mixture import Mixture
from cortseq.observations.registry import distribution, names
from cortseq.observations.states import StateEmission
from cortseq.observations.tracks import TRACKS, Track

if TYPE_CHECKING:
    from cortseq.data import Data

FIXED = counts.FIXED | gaussian.FIXED  # names of a read-out's parameters that are measured, not learned

__all__ = [
    "FIXED",
    "MAX_LOG_RATE",
    "MIN_LOG_RATE",
    "MIN_RATE",
    "MIN_SD",
    "TRACKS",
    "Distribution",
    "Mixture",
    "Readout",
    "StateEmission",
    "Track",
    "autoregression",
    "distribution",
    "emission_of",
    "names",
    "observation_of",
    "skipped",
    "states_of",
    "varying",
    "with_dispersion",
]


def emission_of(shape: Data | dict[str, Any]) -> Distribution:
    """Return the distribution of a recording's bins; `shape` is its Data, or the card of a fit to it."""
    known = shape if isinstance(shape, dict) else vars(shape)
    return distribution(known["observation"])(known["n_features"], known["support"])


def observation_of(shape: Data | dict[str, Any], mixture: int = 1) -> Readout:
    """Return a network's read-out with `mixture` components; `shape` as in `emission_of`."""
    emission = emission_of(shape)
    readout = emission.readout(emission)
    return Mixture(readout, mixture) if mixture > 1 else readout


def states_of(shape: Data | dict[str, Any], prior: float | None = None) -> StateEmission:
    """Return the expected statistics for EM; `shape` as in `emission_of`, `prior` in bins (None: default)."""
    emission = emission_of(shape)
    return emission.states(emission, prior)
