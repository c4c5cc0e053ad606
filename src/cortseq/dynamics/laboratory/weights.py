"""Analyses of the recurrent weights by themselves, beside what theory says of weights without structure."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics import lipschitz
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.dynamics.memory import memory_capacity
from cortseq.matrices import spectral_radius
from cortseq.theory.bulk import predicted_disc

_SHUFFLES = 5
_STEPS, _WARM_UP, _STARTS = 600, 200, 4  # of the map h' = tanh(W h)
_CAPACITY_UNITS = 400  # of a reservoir whose capacity is measured: it takes more than 4 n steps of n^2


def bulk(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Predict the disc that unstructured weights of these variances would fill.

    Centre and radius of the disc that weights with the variances of these rows and columns would fill, and
    the same of the Jacobian at the fixed point nearest to the data where the state is of one kind (no gates,
    no synapses).
    """
    if "weights" not in found:
        return {}, {}
    signs = found["signs"].values if "signs" in found else None
    discs = [predicted_disc(w, signs) for w in found["weights"].values]
    variables = {"weight_disc": (("member", "disc"), np.array(discs))}
    if found.sizes["hidden"] == found.sizes["dim"]:
        jacobians = found["nearest_jacobian"].values
        known_points = np.isfinite(jacobians).all((1, 2))
        discs = [
            predicted_disc(a) if known else (np.nan,) * 2
            for a, known in zip(jacobians, known_points, strict=True)
        ]
        variables["jacobian_disc"] = (("member", "disc"), np.array(discs))
    return variables, {}


def echo_bounds(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bound the echo state of a leaky network from its weights alone.

    What weights alone say of the echo state of a leaky network: it holds for every input where the largest
    stretch of a step is below 1, and not for the zero input of an unbiased one where the radius is above.
    """
    if not lipschitz.bounded(subject.fit):
        return {}, {}
    rows = []
    for member in range(subject.members):
        by_state, _, a, w = lipschitz.constants(subject.fit, member)
        rows.append((by_state, spectral_radius(np.diag(1 - a) + a[:, None] * w)))
    stretch, radius = np.array(rows).T
    return {"echo_stretch": ("member", stretch), "echo_radius": ("member", radius)}, {}


def capacity(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return memory capacity of a reservoir for white input through the weights of its first input."""
    model = subject.fit.model
    if not model.reservoir or model.hidden > _CAPACITY_UNITS:
        return {}, {}
    lags, values = min(200, model.hidden), []
    for member in range(subject.members):
        one = subject.fit.member(member)
        into, steps = one.p["input_weight"][:, 0].numpy(), 5 * model.hidden + 1000
        seed = subject.seed + member
        found_one = memory_capacity(one.weights(), into, lags, steps, model.leak, "tanh", seed)
        values.append(found_one.per_lag)
    return {
        "memory_capacity": ("member", np.sum(values, 1)),
        "memory_per_lag": (("member", "memory_lag"), np.array(values)),
    }, {}


def mean_field(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the exponent of h' = tanh(W h) with shuffled weights and mean-field theory.

    Largest exponent of h' = tanh(W h) with the fitted W, with its entries in permuted places, and of the
    mean-field theory at their gain, sqrt(n) times the standard deviation of the entries off the diagonal.

    Leak, bias and input are left out: where the fitted W parts from its shuffled controls it is its structure
    that does.
    """
    if not subject.fit.model.saturates or "weights" not in found or found["weights"].shape[-1] < 2:
        return {}, {}
    from cortseq.theory.random_networks import mean_field_map

    rng = np.random.default_rng([subject.seed, 0x3F])
    gains, own, controls, predicted = [], [], [], []
    for w in found["weights"].values:
        off = ~np.eye(len(w), dtype=bool)
        gains.append(np.sqrt(len(w)) * w[off].std())
        own.append(_exponent(w, rng))
        controls.append([_exponent(_permuted(w, off, rng), rng) for _ in range(_SHUFFLES)])
        predicted.append(mean_field_map(gains[-1]).lyapunov)
    return {
        "gain": ("member", np.array(gains)),
        "weights_exponent": ("member", np.array(own)),
        "shuffled_exponent": (("member", "shuffle"), np.array(controls)),
        "mean_field_exponent": ("member", np.array(predicted)),
    }, {}


def _exponent(w: np.ndarray, rng: np.random.Generator) -> float:
    """Return mean over starts of the largest exponent of h' = tanh(W h), nats per step."""
    from cortseq.theory.networks import map_step, orbit

    starts = rng.normal(size=(_STARTS, len(w)))
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = orbit(map_step(w), starts, _STEPS, _WARM_UP, rng)[1]
    return float(np.mean(exponents)) if np.isfinite(exponents).all() else float("-inf")


def _permuted(w: np.ndarray, off: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled = w.copy()
    shuffled[off] = rng.permutation(w[off])
    return shuffled
