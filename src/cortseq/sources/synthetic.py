"""Recordings made from known laws, each with the exact likelihood of its generator where there is one.

A generator is one function: decorated with its track, its keyword arguments are the options of the study
entry and its name is the `kind`. It returns the raw Dataset; latents are named `latent_<name>`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import xarray as xr
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from scipy.special import logsumexp

from cortseq import processes
from cortseq.errors import CortseqError
from cortseq.observations.poisson import Poisson, log_pmf
from cortseq.processes import stationary
from cortseq.sources.base import Positive, Source, describe

Track = Literal["counts", "symbols", "signal"]
Whole = Annotated[int, Field(ge=1)]
Alphabet = Annotated[int, Field(ge=2)]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class Generator(NamedTuple):
    """A registered generator: its function and the track of what it gives."""

    function: Callable[..., xr.Dataset]
    track: Track

    @property
    def options(self) -> dict[str, Any]:
        """Option name -> type, as the function declares them."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        keywords = inspect.signature(self.function).parameters.values()
        return {p.name: hints[p.name] for p in keywords if p.kind is p.KEYWORD_ONLY}


GENERATORS: dict[str, Generator] = {}


Make = TypeVar("Make", bound=Callable[..., xr.Dataset])


def generator(track: Track) -> Callable[[Make], Make]:
    """Register a function as the generator of the kind that is its name."""

    def register(function: Make) -> Make:
        GENERATORS[function.__name__] = Generator(function, track)
        return function

    return register


class Synthetic(Source):
    """`source: synthetic`: a kind and the options of its generator."""

    # the options of all generators are checked against their functions, so the model itself lets them pass
    model_config = ConfigDict(
        extra="allow", frozen=True, json_schema_extra=lambda schema: _list_options(schema)
    )

    source: Literal["synthetic"] = "synthetic"
    kind: str = Field(description="which generator")

    @property
    def needs_file(self) -> bool:
        """Whether the entry names a file."""
        return False

    @property
    def track(self) -> Track:
        """Track of the recording: counts, symbols or signal."""
        return GENERATORS[self.kind].track

    @model_validator(mode="before")
    @classmethod
    def _check_options(cls, entry):
        if not isinstance(entry, dict) or "kind" not in entry:
            return entry
        if entry["kind"] not in GENERATORS:
            raise ValueError(f"kind: unknown (got {entry['kind']!r}) -- one of {', '.join(GENERATORS)}")
        options = GENERATORS[entry["kind"]].options
        return {k: v if k in cls.model_fields else _option(k, v, options) for k, v in entry.items()}

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        made_by = GENERATORS[self.kind]
        options = dict(self.model_extra or {})
        if "bin_ms" in made_by.options and self.bin_ms is not None:
            options["bin_ms"] = self.bin_ms
        raw = made_by.function(np.random.default_rng(seed), **options)
        latents = {
            str(v).removeprefix("latent_"): raw[v] for v in raw.data_vars if str(v).startswith("latent_")
        }
        for label, name in self.covariates.items():
            if name not in latents:
                raise CortseqError(
                    f"{self.kind} has no such covariate",
                    key=f"covariates.{label}",
                    value=name,
                    fix=f"one of {sorted(latents)}",
                )
            raw[f"covariate_{label}"] = latents[name]
        return raw.drop_vars([f"latent_{name}" for name in latents])


def _list_options(schema: dict[str, Any]) -> None:
    """Put the kinds and the options of every generator into the JSON schema of a synthetic entry."""
    schema["properties"]["kind"]["enum"] = sorted(GENERATORS)
    for kind in GENERATORS.values():
        for name, hint in kind.options.items():
            schema["properties"].setdefault(name, {"title": name, **TypeAdapter(hint).json_schema()})
    schema["additionalProperties"] = False


def _option(key: str, value, options: dict[str, Any]):
    if key not in options:
        raise ValueError(f"{key}: unknown option -- one of {', '.join(options)}")
    try:
        return TypeAdapter(options[key]).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{key}: {error.errors()[0]['msg']} (got {value!r})") from None


# ---------------------------------------------------------------------------------------- counts


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
    raw = _poisson_hmm(rng, states, initial, transition, expected, bin_width)
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
        kernel = np.exp(logsumexp(exponent, axis=0) - logsumexp(exponent))
        move.append(np.stack([np.roll(kernel, i) for i in range(grid)]))
    forwards, backwards = move
    keep = 1 - reversal
    return np.block([[keep * forwards, reversal * backwards], [reversal * forwards, keep * backwards]])


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
    raw = _poisson_hmm(rng, path, initial, transition, rates * bin_width, bin_width)
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


def _poisson_hmm(rng: np.random.Generator, states, initial, transition, expected, bin_width) -> xr.Dataset:
    """Return spikes of a hidden chain with expected counts (state, unit), and their exact likelihood."""
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


# --------------------------------------------------------------------------------------- symbols


@generator("symbols")
def even(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return the even process: ones come in runs of even length; entropy rate 2/3 bit, no finite order.

    State A emits 0 and stays or 1 and goes to B, each with probability 1/2; B emits 1 and goes to A.
    """
    return _hidden_symbols(rng, processes.even(), trials, bins)


@generator("symbols")
def golden_mean(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return the golden-mean process: no two zeros in a row; order 1, entropy rate 2/3 bit."""
    return _hidden_symbols(rng, processes.golden_mean(), trials, bins)


@generator("symbols")
def reber(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return strings of Reber's grammar, one after the other, cut anywhere; order 2, entropy rate 3/4 bit."""
    return _hidden_symbols(rng, processes.reber(), trials, bins, processes.REBER)


@generator("symbols")
def embedded_reber(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Strings B (T|P) reber (the same T|P) E, one after the other; entropy rate 7/12 bit, no finite order.

    The second symbol of a string decides its last but one, six and more symbols later.
    """
    return _hidden_symbols(rng, processes.embedded_reber(), trials, bins, processes.REBER)


@generator("symbols")
def chain(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    symbols: Alphabet = 5,
    concentration: Positive = 0.5,
) -> xr.Dataset:
    """Return a Markov chain of order 1, rows of its transition matrix drawn from a Dirichlet.

    Stationary start.

    The matrix is kept as variable `transition` (from, to).
    """
    transition = rng.dirichlet(np.full(symbols, concentration), symbols)
    raw = _hidden_symbols(rng, processes.markov(transition), trials, bins)
    return raw.assign(transition=(("from", "to"), transition))


@generator("symbols")
def lag_copy(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    symbols: Alphabet = 4,
    lag: Whole = 6,
    noise: Probability = 0.1,
) -> xr.Dataset:
    """Draw symbols that copy the one `lag` before, or are uniform with probability `noise`.

    The first `lag` are uniform.

    Chains of order < lag see independent uniform symbols.
    """
    x = rng.integers(symbols, size=(trials, bins))
    copied = rng.random((trials, bins)) >= noise
    for t in range(lag, bins):
        x[:, t] = np.where(copied[:, t], x[:, t - lag], x[:, t])
    fresh = noise / symbols
    ceiling = np.full(x.shape, -np.log(symbols))
    ceiling[:, lag:] = _log(np.where(x[:, lag:] == x[:, : max(bins - lag, 0)], 1 - noise + fresh, fresh))
    p = np.array([1 - noise + fresh] + [fresh] * (symbols - 1))
    return _symbols(x, ceiling, symbols, -(p * _log(p)).sum())


@generator("symbols")
def parity(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    order: Whole = 4,
    noise: Probability = 0.05,
) -> xr.Dataset:
    """Draw bits that are the parity of the last `order` bits, flipped with probability `noise`.

    Uniform start.

    Chains of order < `order` see independent fair coins.
    """
    x = rng.integers(2, size=(trials, bins))
    flipped = rng.random((trials, bins)) < noise
    ceiling = np.full(x.shape, -np.log(2))
    for t in range(order, bins):
        x[:, t] = x[:, t - order : t].sum(1) % 2 ^ flipped[:, t]
        ceiling[:, t] = _log(np.where(flipped[:, t], noise, 1 - noise))
    p = np.array([noise, 1 - noise])
    return _symbols(x, ceiling, 2, -(p * _log(p)).sum())


def _hidden_symbols(
    rng: np.random.Generator, moves: np.ndarray, trials: int, bins: int, labels=None
) -> xr.Dataset:
    """Return symbols of a unifilar hidden chain that emits on its transitions, moves[symbol, from, to].

    Stationary start.
    """
    n_symbols, n_states, _ = moves.shape
    initial = stationary(moves.sum(0))
    states = _draw(rng, np.tile(initial, (trials, 1)))
    x = np.empty((trials, bins), int)
    for t in range(bins):
        joint = _draw(rng, moves[:, states].transpose(1, 0, 2).reshape(trials, -1))
        x[:, t], states = np.divmod(joint, n_states)
    rate = processes.entropy_rate(moves) * np.log(2)
    return _symbols(x, symbol_filter(initial, moves, x), n_symbols, rate, labels)


def _symbols(
    x: np.ndarray, ceiling: np.ndarray, n_symbols: int, entropy_rate: float, labels=None
) -> xr.Dataset:
    """Return raw symbols with their ceiling (nats) and entropy rate (nats per symbol)."""
    dims = ("trial", "time")
    raw = xr.Dataset(
        {
            "symbols": (dims, x.astype(np.int16)),
            "valid": (dims, np.ones(x.shape, bool)),
            "ceiling": (dims, ceiling),
        }
    )
    labels = list(labels or map(str, range(n_symbols)))
    rate = float(entropy_rate / np.log(2))
    return describe(raw, "samples", bin_width=1.0, n_symbols=n_symbols, labels=labels, entropy_rate_bits=rate)


# ------------------------------------------------------------------------------- exact filtering


def forward_filter(initial: np.ndarray, transition: np.ndarray, log_emission: np.ndarray) -> np.ndarray:
    """Return log p(y_t | y_<t) in nats, (trial, time), of a hidden Markov chain, exactly.

    p(y_t | y_<t) = sum_s p(s_t = s | y_<t) p(y_t | s), the belief p(s_t | y_<t) being carried forward.

    Parameters
    ----------
    initial : (state,) distribution in the first bin.
    transition : (from, to).
    log_emission : (trial, time, state), log p(y_t | s) in nats.
    """
    belief = np.broadcast_to(initial, log_emission[:, 0].shape)
    log_prob = np.empty(log_emission.shape[:2])
    for t in range(log_emission.shape[1]):
        joint = _log(belief) + log_emission[:, t]
        log_prob[:, t] = logsumexp(joint, axis=1)
        belief = np.exp(joint - log_prob[:, t, None]) @ transition
    return log_prob


def symbol_filter(initial: np.ndarray, moves: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Return log p(x_t | x_<t) of a hidden chain exactly, in nats, (trial, time).

    The chain emits moves[symbol, from, to].
    """
    belief = np.broadcast_to(initial, (len(symbols), len(initial)))
    log_prob = np.empty(symbols.shape)
    for t in range(symbols.shape[1]):
        joint = np.einsum("rs,rsz->rz", belief, moves[symbols[:, t]])
        p = joint.sum(1)
        log_prob[:, t] = _log(p)
        belief = joint / p[:, None]
    return log_prob


def poisson_log_prob(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return log p of counts (trial, time, unit), summed over units, in nats, (trial, time).

    sum_n y log mu - mu - log y!
    """
    return log_pmf(counts, expected).sum(-1)


def sample_chain(
    rng: np.random.Generator, initial: np.ndarray, transition: np.ndarray, trials: int, bins: int
) -> np.ndarray:
    """Return states (trial, time) of a Markov chain."""
    states = np.empty((trials, bins), int)
    states[:, 0] = _draw(rng, np.tile(initial, (trials, 1)))
    for t in range(1, bins):
        states[:, t] = _draw(rng, transition[states[:, t - 1]])
    return states


def _draw(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Return one index per row of the distributions p (row, index)."""
    cumulative = p.cumsum(1)
    return (rng.random((len(p), 1)) * cumulative[:, -1:] >= cumulative).sum(1)


def _log(p) -> np.ndarray:
    """Return log p with 0 log 0 = 0 once multiplied by p: the floor is the smallest positive number."""
    return np.log(np.maximum(p, np.finfo(float).tiny))


SOURCE = Synthetic
