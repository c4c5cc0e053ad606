"""Generators of spike counts: a ring of neurons, a hidden Markov model, constant rates, a chaotic network."""

from __future__ import annotations

import numpy as np

from cortseq._lazy import special, xr
from cortseq.observations.poisson import Poisson
from cortseq.processes import stationary
from cortseq.sources.base import Positive
from cortseq.sources.generators.base import Alphabet, NonNegative, Probability, Whole, generator
from cortseq.sources.generators.exact import forward_filter, poisson_log_prob, sample_chain
from cortseq.sources.raw import describe


@generator("counts")
def ring(
    rng: np.random.Generator,
    *,
    trials: Whole = 300,
    units: Whole = 60,
    bins: Whole = 60,
    bin_ms: Positive = 20.0,
    grid: Alphabet = 90,
    turn_hz: NonNegative = 0.8,
    diffusion_deg: Positive = 4.0,
    reversal: Probability = 0.02,
    base_hz: Positive = 1.0,
    peak_hz: Positive = 50.0,
    kappa: Positive = 4.0,
) -> xr.Dataset:
    """Return a bump on a ring: an angle that turns at constant speed, diffuses, and now and then reverses.

    The latent lives on a grid, so that the Bayes filter is exact: state (direction d, angle theta),
    d flips with probability `reversal` per bin, then theta steps by a wrapped normal of mean
    d * turn_hz * 2 pi * bin and standard deviation `diffusion_deg` per bin. Uniform start. Unit n with
    preferred angle theta_n fires Poisson at base + peak * exp(kappa (cos(theta - theta_n) - 1)) Hz.
    """
    bin_width = bin_ms / 1e3
    angle = 2 * np.pi * np.arange(grid) / grid
    preferred = 2 * np.pi * np.arange(units) / units
    tuning = base_hz + peak_hz * np.exp(kappa * (np.cos(angle[:, None] - preferred) - 1))
    transition = ring_transition(grid, 2 * np.pi * turn_hz * bin_width, np.deg2rad(diffusion_deg), reversal)
    initial = np.full(2 * grid, 0.5 / grid)
    states = sample_chain(rng, initial, transition, trials, bins)
    expected = np.tile(tuning, (2, 1)) * bin_width
    raw = poisson_hmm(rng, states, initial, transition, expected, bin_width)
    raw["latent_angle"] = ("trial", "time"), angle[states % grid]
    raw["latent_direction"] = ("trial", "time"), np.where(states < grid, 1, -1)
    return raw


def ring_transition(grid: int, step: float, sd: float, reversal: float) -> np.ndarray:
    """Return transition matrix (2*grid, 2*grid) of (direction, angle); step and sd in rad per bin.

    States 0..grid-1 turn forwards, the others backwards; each block is circulant.
    """
    offset = 2 * np.pi * np.arange(grid) / grid
    turns = 2 * np.pi * np.arange(-3, 4)[:, None]
    move = []
    for direction in (1, -1):
        exponent = -0.5 * ((offset + turns - direction * step) / sd) ** 2
        kernel = np.exp(special.logsumexp(exponent, axis=0) - special.logsumexp(exponent))
        move.append(np.stack([np.roll(kernel, i) for i in range(grid)]))
    forwards, backwards = move
    keep = 1 - reversal
    return np.block([[keep * forwards, reversal * backwards], [reversal * forwards, keep * backwards]])


@generator("counts")
def driven(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    units: Whole = 10,
    bins: Whole = 100,
    bin_ms: Positive = 20.0,
    base_hz: Positive = 10.0,
    drive: NonNegative = 1.0,
    history: NonNegative = 0.0,
    stimulus_bins: Positive = 10.0,
) -> xr.Dataset:
    """Return units that follow a known stimulus, their own past, or both.

    The latent `stimulus` s_t is a Gaussian process of unit variance with autocorrelation
    exp(-1 / stimulus_bins) from bin to bin. Unit n fires Poisson at

        base exp(drive w_n s_t + history (sqrt(y_{n,t-1}) - sqrt(base)) - c)

    with base in counts a bin, w_n evenly spaced from -1 to 1 and c = (drive w_n)^2 / 2, so that the mean
    does not depend on the drive. `ceiling` is log p(y_t | y_<t, s_t).
    """
    bin_width, kept = bin_ms / 1e3, np.exp(-1 / stimulus_bins)
    base, weights = base_hz * bin_width, np.linspace(-1, 1, units) if units > 1 else np.ones(1)
    stimulus, counts = np.empty((trials, bins)), np.empty((trials, bins, units))
    rates, past = np.empty((trials, bins, units)), np.full((trials, units), np.sqrt(base))
    for t in range(bins):
        fresh = rng.normal(size=trials)
        stimulus[:, t] = fresh if t == 0 else kept * stimulus[:, t - 1] + np.sqrt(1 - kept**2) * fresh
        eta = drive * weights * stimulus[:, t, None] - (drive * weights) ** 2 / 2
        rates[:, t] = base * np.exp(np.minimum(eta + history * (past - np.sqrt(base)), 3.0))
        counts[:, t] = rng.poisson(rates[:, t])
        past = np.sqrt(counts[:, t])
    exact = Poisson(units).log_prob({"rate": rates}, counts)
    raw = xr.Dataset(
        {
            "counts": (("trial", "time", "unit"), counts.astype(np.int32)),
            "true_rates": (("trial", "time", "unit"), rates),
            "ceiling": (("trial", "time"), exact),
            "latent_stimulus": (("trial", "time"), stimulus),
        },
        coords={"time": bin_width * np.arange(bins)},
    )
    return describe(raw, "samples", bin_width=bin_width)


@generator("counts")
def hmm(
    rng: np.random.Generator,
    *,
    trials: Whole = 300,
    units: Whole = 30,
    bins: Whole = 60,
    bin_ms: Positive = 20.0,
    states: Alphabet = 8,
    dwell_ms: Positive = 200.0,
    rate_hz: Positive = 15.0,
    spread: Positive = 1.0,
) -> xr.Dataset:
    """Return a Poisson HMM: a random sticky chain of `states`, each with its own firing rates.

    Mean dwell time `dwell_ms`, exits drawn from a flat Dirichlet, stationary start; rates are gamma
    distributed with mean `rate_hz` and coefficient of variation `spread`.
    """
    bin_width = bin_ms / 1e3
    leave = min(1.0, bin_ms / dwell_ms)
    transition = np.zeros((states, states))
    off = ~np.eye(states, dtype=bool)
    transition[off] = (leave * rng.dirichlet(np.ones(states - 1), states)).ravel()
    transition[~off] = 1 - leave
    rates = rng.gamma(spread**-2, rate_hz * spread**2, (states, units))
    initial = stationary(transition)
    path = sample_chain(rng, initial, transition, trials, bins)
    raw = poisson_hmm(rng, path, initial, transition, rates * bin_width, bin_width)
    raw["latent_state"] = ("trial", "time"), path
    return raw


@generator("counts")
def poisson(
    rng: np.random.Generator,
    *,
    trials: Whole = 100,
    units: Whole = 20,
    bins: Whole = 60,
    bin_ms: Positive = 20.0,
    rate_hz: Positive = 10.0,
    spread: Positive = 0.5,
) -> xr.Dataset:
    """Return units that fire at constant rates, independently: nothing to predict beyond the mean.

    Rates are gamma distributed with mean `rate_hz` and coefficient of variation `spread`.
    """
    rates = rng.gamma(spread**-2, rate_hz * spread**2, units) * bin_ms / 1e3
    expected = np.broadcast_to(rates, (trials, bins, units)).copy()
    raw = _counts(rng, expected, bin_ms / 1e3)
    return raw.assign(ceiling=(("trial", "time"), poisson_log_prob(raw["counts"].values, expected)))


@generator("counts")
def chaotic(
    rng: np.random.Generator,
    *,
    trials: Whole = 300,
    units: Whole = 50,
    bins: Whole = 60,
    bin_ms: Positive = 20.0,
    neurons: Whole = 50,
    gain: NonNegative = 1.5,
    tau_ms: Positive = 100.0,
    rate_hz: Positive = 15.0,
    depth: NonNegative = 1.5,
) -> xr.Dataset:
    """Draw spikes of a random rate network, tau dx/dt = -x + J tanh(x).

    J_ij ~ N(0, gain^2 / neurons).

    Each trial starts from its own random state and runs 20 tau before recording. Unit n reads a random
    vector w_n of length 1: it fires Poisson at rate_hz * exp(depth * w_n . tanh(x)) Hz.
    Sompolinsky, Crisanti & Sommers 1988, Phys Rev Lett 61:259.
    """
    coupling = rng.normal(0, gain / np.sqrt(neurons), (neurons, neurons))
    readout = rng.normal(size=(neurons, units))
    readout /= np.linalg.norm(readout, axis=0)
    x = rng.normal(size=(trials, neurons))
    substeps = int(np.ceil(20 * bin_ms / tau_ms))
    step = bin_ms / tau_ms / substeps
    expected = np.empty((trials, bins, units))
    for t in range(-int(np.ceil(20 * tau_ms / bin_ms)), bins):
        if t >= 0:
            expected[:, t] = rate_hz * bin_ms / 1e3 * np.exp(depth * np.tanh(x) @ readout)
        for _ in range(substeps):
            x += step * (np.tanh(x) @ coupling.T - x)
    return _counts(rng, expected, bin_ms / 1e3)


def poisson_hmm(
    rng: np.random.Generator,
    states: np.ndarray,
    initial: np.ndarray,
    transition: np.ndarray,
    expected: np.ndarray,
    bin_width: float,
) -> xr.Dataset:
    """Return spikes of a hidden Markov chain, and their exact likelihood as variable `ceiling`.

    Parameters
    ----------
    states : (trial, time), the path of each trial.
    initial : (state,), distribution in the first bin.
    transition : (from, to).
    expected : (state, unit), counts per bin.
    bin_width : seconds.
    """
    raw = _counts(rng, expected[states], bin_width)
    counts = raw["counts"].values
    emission = Poisson(raw.sizes["unit"]).log_prob_states({"rate": expected}, counts)
    return raw.assign(ceiling=(("trial", "time"), forward_filter(initial, transition, emission)))


def _counts(rng: np.random.Generator, expected: np.ndarray, bin_width: float) -> xr.Dataset:
    """Return Poisson counts with the expected counts (trial, time, unit)."""
    dims = ("trial", "time", "unit")
    raw = xr.Dataset(
        {"counts": (dims, rng.poisson(expected).astype(np.int32)), "true_rates": (dims, expected)},
        coords={"unit": np.arange(expected.shape[2])},
    )
    return describe(raw, "samples", bin_width=bin_width)
