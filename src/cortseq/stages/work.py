"""How much arithmetic each kind of step takes, growing with its sizes; `cortseq.costs` has the seconds.

A function returns the kinds of law that a step follows and the amounts of each. The amounts are those of the
parts that take longest; constants that do not grow (reading files, imports) are the amount "step".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from cortseq import models
from cortseq.costs import Cost
from cortseq.models.base import Model
from cortseq.models.horizons import FORECAST_BINS, FORECAST_TRIALS
from cortseq.models.work import Size
from cortseq.observations import TRACKS

Seconds = Callable[[Model, Size], float]

_RECALLED = 88  # bins that a network runs through for each bin of a test trial (`scoring.tasks.MEMORIES`)
_SIMULATED = 400  # trials of a free run at most (`scoring.generation.MAX_TRIALS`)
_DISSECTED = 64  # trials that dynamics are examined on (`dynamics.analyse.MAX_TRIALS`)
_NOISE = {"train": 75, "valid": 25, "bins": 40}  # of the canary (`scoring.probes`)
_DRAWN = {"train": 60, "valid": 20, "bins": 40}  # of the surrogates (`scoring.probes`)
_CANARY_UNITS = 12
_TORCH = {"dynamics", "numbers", "memory", "audit", "cosmooth", "forgetting", "theory"}
_IN_BLOCKS = {"load", "preprocess", "split", "score", "audit", "compare", "claims", "report", "conclude"}
# Of a large recording these look at few trials (`data.few`), or go through all of it in blocks.
_IN_BLOCKS |= {"forecasts", "memory", "generation", "ceilings", "quality", "cosmooth", "dynamics", "numbers"}
_CANARY_EPOCHS, _SURROGATE_EPOCHS = 20, 30


def uses_torch(kind: str) -> bool:
    """Return whether steps that follow a law import torch."""
    return kind.endswith("/network") or kind.split("/")[0] in _TORCH


def in_blocks(kind: str) -> bool:
    """Return whether steps that follow a law hold no more than a block of trials and compact counts."""
    stage, _, family = kind.partition("/")
    if stage == "fit":
        return models.find(family).blockwise
    return stage in _IN_BLOCKS


def width(model: Model) -> int:
    """Return how many numbers a model computes in each bin: hidden units, states, or one."""
    return int(getattr(model, "hidden", None) or getattr(model, "states", None) or 1)


def _members(model: Model, size: Size) -> int:
    return size.members if model.has_members else 1


def _per_bin(model: Model, features: int) -> float:
    """Return the multiplications of a step of a model: its state by itself, and by the features."""
    gates = 1 + len(getattr(model, "gate_names", ()))
    return float(getattr(model, "products", width(model) ** 2) + gates * width(model) * features)


def _is_network(model: Model) -> bool:
    return model.role == "recurrent"


def fit(model: Model, seconds: float) -> Cost:
    """Return the cost of a fit, whose seconds the law of its family gives (`costs.seconds`)."""
    return {f"fit/{model.family}": {"second": seconds}}


def score(model: Model, size: Size) -> Cost:
    """Return the cost of log-probabilities of all trials, and of expectations of the test trials."""
    bins = _members(model, size) * (size.train + size.valid + size.test) * size.bins
    product = bins * _per_bin(model, size.features)
    work = {"step": 1.0, "cell": float(bins * size.features), "product": product}
    return {"score/network" if _is_network(model) else "score": work}


def forecasts(
    model: Model, size: Size, horizons: Sequence[int], trials: int | None, samples: int, most: int
) -> Cost:
    """Return the cost of forecasts; where futures are drawn, of half the doublings that are allowed."""
    reached = max([h for h in horizons if h <= size.bins // 2], default=1)
    wanted = trials * size.bins if trials else max(FORECAST_TRIALS * size.bins, FORECAST_BINS)
    bins = min(wanted, size.test * size.bins)
    steps = _members(model, size) * bins * reached
    if model.forecasts_on(size.track) != "sampled":
        return {"forecasts": {"step": 1.0, "product": steps * _per_bin(model, size.features)}}
    doublings = int(math.log2(max(most, samples) / samples))
    # futures of ever fewer bins (`scoring.futures`): the work of a doubling grows by 2^(1/4)
    drawn = samples * (1 + 0.5 * sum(2 ** (k / 4 - 1) for k in range(1, doublings + 1)))
    kind = "forecasts/network" if _is_network(model) else f"forecasts/{model.family}"
    every = steps * drawn
    work = {"step": 1.0, "draw": every * size.features}
    if _is_network(model):
        return {kind: work | {"product": every * _per_bin(model, size.features)}}
    return {kind: work | {"future": every}}


def memory(model: Model, size: Size) -> Cost:
    """Return the cost of a network that restarts some bins before each bin of the test trials."""
    bins = _members(model, size) * size.test * size.bins * _RECALLED
    product = bins * _per_bin(model, size.features)
    return {"memory": {"step": 1.0, "unit": float(bins * width(model)), "product": product}}


def generation(model: Model, size: Size) -> Cost:
    """Return the cost of free runs and of their statistics."""
    members, trials = _members(model, size), min(size.test, _SIMULATED)
    bins = members * trials * size.bins
    work = {
        "step": 1.0,
        "time": float(members * size.bins),
        "product": bins * _per_bin(model, size.features),
        "pair": float(bins * size.features**2),
    }
    return {"generation/network" if _is_network(model) else "generation": work}


def ceilings(model: Model, size: Size) -> Cost:
    """Return the cost of the reliability of all units and of the mean over trials."""
    return {"ceilings": {"step": 1.0, "cell": size.cells}}


def quality(models: Iterable[Model], size: Size) -> Cost:
    """Return the cost of the goodness of fit of some models: distribution functions, and a test per unit."""
    cells = tests = 0.0
    for model in models:
        members = _members(model, size)
        # chains and hidden Markov models predict a mixture over their states
        components = getattr(model, "mixture", None) or getattr(model, "states", None) or 1
        cells += members * size.test * size.bins * size.features * components
        tests += members * size.features
    return {"quality": {"step": 1.0, "cell": cells, "test": tests}}


def smoothing(size: Size, seconds: float) -> Cost:
    """Return the cost of co-smoothing; `seconds`: of the fits of its hidden Markov models."""
    learned = size.members * size.learned * size.features
    return {"cosmooth": {"step": 1.0, "second": seconds, "cell": float(learned)}}


def forgetting(model: Model, sizes: Sequence[Size], folds: int) -> Cost:
    """Return the cost of scoring the fits of all sessions on all sessions."""
    passes = sum(_members(model, s) * s.test * s.bins * _per_bin(model, s.features) for s in sizes)
    return {"forgetting": {"step": 1.0, "product": float(passes * len(sizes) * folds)}}


def examined(model: Model, size: Size, members: int, kind: str = "dynamics") -> Cost:
    """Return the cost of the analyses of `members` members: all of them, or the numbers of a control.

    Parameters
    ----------
    kind : "dynamics" or "numbers", whose constants differ.
    """
    state = width(model) * int(getattr(model, "state_parts", 1))
    starts = min(128, max(8, 1.2e6 / state**2))  # of the search for fixed points (`dynamics.analyse`)
    work = {
        "member": float(members),
        "point": float(members * starts * state**3),
        "driven": float(members * min(size.test, _DISSECTED) * size.bins * state),
    }
    return {kind: {"step": 1.0, **work}}


def audit(variants: int, canaries: Iterable[Model], size: Size, seconds: Seconds) -> Cost:
    """Return the cost of the audits, most of which is fitting again.

    Parameters
    ----------
    variants : that are audited, those of every fold counted.
    canaries : one of each model, which is fitted to noise and to its own trials again.
    seconds : (model, size) -> seconds of a fit.
    """
    features = size.features if TRACKS[size.track].has_labels else _CANARY_UNITS
    noise = Size(size.track, features=features, **_NOISE)
    drawn = Size(size.track, features=size.features, **_DRAWN)
    single, spent, networks = dataclasses.replace(size, members=1), 0.0, [0.0]
    for model in canaries:
        spent += seconds(_quick(model, _CANARY_EPOCHS), noise)
        spent += seconds(_quick(model, 1), single)
        if _is_network(model):
            networks.append(seconds(_quick(model, _SURROGATE_EPOCHS), drawn))
    return {"audit": {"step": 1.0, "variant": float(variants), "second": spent + 2 * max(networks)}}


def figure(files: int) -> Cost:
    """Return the cost of a figure that is drawn from so many files."""
    return {"figure": {"step": 1.0, "file": float(files)}}


def phenomenon(name: str) -> Cost:
    """Return the cost of measuring a phenomenon with the settings it has by default."""
    return {f"theory/{name}": {"step": 1.0}}


def _quick(model: Model, epochs: int) -> Model:
    """Return the specification with at most so many epochs, where it has any."""
    known = getattr(model, "epochs", None)
    return model if known is None else model.model_copy(update={"epochs": min(epochs, known)})
