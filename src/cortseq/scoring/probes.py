"""Audits that fit models (docs/likelihood.md#audits): canary, refit, normalisation, surrogates."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.base import Fit, Model
from cortseq.models.null import Null
from cortseq.observations.counts import rows
from cortseq.scoring.audits import Audit
from cortseq.scoring.units import paired_difference

CANARY_GAIN = 0.002  # bits (nats for signals) per event that a model may seem to gain on noise, plus 3 SE
CANARY_TRIALS, CANARY_BINS, CANARY_UNITS, CANARY_EPOCHS = 150, 40, 12, 20
MOST_COUNTS = {1: 256, 2: 48}  # values of a count that are summed over, by the number of units
LEAST = 0.99  # probability that all outcomes of a grid hold together
_TRIED, _BEYOND = 8, 1e-4  # trials that are tried, and the probability that may lie at the end of the grid
GRID = np.linspace(-15, 15, 6001)  # of a signal, in training standard deviations
SMALL_TRIALS, SMALL_BINS = 30, 30  # of the recording that normalisation is tried on
SURROGATE_TRIALS, SURROGATE_BINS, SURROGATE_EPOCHS = 120, 40, 30


def _quick(model: Model, epochs: int) -> Model:
    """Return the specification with at most so many epochs, where it has any."""
    return model.model_copy(update={"epochs": min(epochs, model.epochs)} if hasattr(model, "epochs") else {})


def canary(name: str, model: Model, recording: xr.Dataset, seed: int = 0) -> Audit:
    """On noise with the recording's rates no model may score above CANARY_GAIN + 3 standard errors."""
    noise = _noise(recording, np.random.default_rng([seed, 77]))
    n = noise.sizes["trial"]
    train, valid, test = range(n // 2), range(n // 2, 2 * n // 3), range(2 * n // 3, n)
    null = Null().fit(noise, train, valid)
    fit = _quick(model, CANARY_EPOCHS).fit(noise, train, valid, members=1, seed=seed)
    gain = _difference(fit, null, noise, test, seed)
    limit = CANARY_GAIN + 3 * gain.standard_error
    detail = f"{name}: {gain.estimate:+.4f} bits/event on noise (at most {limit:.4f} allowed)"
    if gain.estimate < -3 * gain.standard_error:
        detail += "; over-fits, which is honest"
    return Audit("canary", bool(gain.estimate <= limit), detail)


def _difference(a: Fit, b: Fit, recording: xr.Dataset, trials: Any, seed: int) -> Any:
    mine, base = (np.nansum(f.log_prob(recording, trials).values, -1)[0] for f in (a, b))
    return paired_difference(mine, base, Data.of(recording, trials).n_events().sum(1), 1000, seed)


def _noise(recording: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Independent Poisson counts, labels or Gaussian samples with the recording's marginals.

    Inputs are those of recorded trials, in random order, of which the noise knows nothing.
    """
    track, data = rec.kind(recording), Data.of(recording, compact=True)
    shape = (CANARY_TRIALS, CANARY_BINS)
    drawn = track.noise(rows(data.y, data.valid), shape, CANARY_UNITS, data.n_features, rng)
    noise = rec.from_drawn(
        track.name,
        drawn,
        bin_width=data.bin_width,
        n_features=data.n_features,
        observation=data.observation,
    )
    if data.inputs is None:
        return noise
    trials = rng.integers(len(data.inputs), size=CANARY_TRIALS)
    bins = np.arange(CANARY_BINS) % data.inputs.shape[1]
    return noise.assign(inputs=(("trial", "time", "input"), data.inputs[trials][:, bins]))


def refit(
    name: str, fit: Fit, recording: xr.Dataset, roles: dict[str, Any], start: Fit | None = None
) -> Audit:
    """Check that what was learned comes out again from training and validation trials alone.

    k-means, PCA, z-scores, rates, smoothing, number of states and order: all of member 0's parameters; of a
    network learned by gradient descent those that are measured and not learned (`fixed`). A fit from another
    device or from other versions is only warned of. `start`: the earlier fit that it began with, if any; then
    its measured parameters are those of the first session, and its card must name this very fit.
    """
    if fit.card.get("started_from") != (start.digest() if start else None):
        return Audit("refit", False, f"{name}: did not begin with the fit to the session before")
    learned = fit.card["learned_from"]
    train, valid = learned["train"], learned["valid"]
    cut, n = recording.isel(trial=[*train, *valid]), len(train)
    descended = fit.model.role == "recurrent" and len(fit.curves) > 0
    model = _quick(fit.model, 1) if descended else fit.model
    again = model.fit(
        cut,
        range(n),
        range(n, n + len(valid)),
        members=1,
        seed=fit.card["seed"],
        start=start and start.only(0),
    )
    names = set(fit.params) & set(again.params)
    odd = sorted(set(fit.params) ^ set(again.params))
    if descended:
        names, odd = names & fit.member().network.fixed, []
    odd += [key for key in sorted(names) if not _equal(fit.params[key][:1], again.params[key][:1])]
    if odd:
        detail = f"{name}: {odd[0]} does not come out again from the training and validation trials alone"
        return Audit("refit", False, detail, stopping=fit.card.get("device", "cpu") == "cpu")
    detail = f"{len(names)} arrays come out again from the training trials alone"
    if not names:
        detail = "learned by gradient descent throughout; `provenance` says from what"
    return Audit("refit", True, f"{name}: {detail}")


def _equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-7 * float(np.abs(a).max(initial=0)), equal_nan=True))


def normalisation(name: str, fit: Fit, recording: xr.Dataset, roles: dict[str, Any], seed: int = 0) -> Audit:
    """Probabilities of all outcomes of a bin sum to 1, given the bins before it.

    On symbols for the fit itself, whose `predict` must agree; on counts and signals for the specification
    fitted again to one and to two units (one channel) of a few short trials, summed over a grid of outcomes.
    """
    rng = np.random.default_rng(seed)
    track, sums = rec.kind(recording), []
    if track.has_labels:
        sums = [_symbol_sum(fit, recording.isel(trial=[int(t)]), rng) for t in roles["test"][:3]]
    else:
        try:
            for n_units in (1, 2) if track.has_events else (1,):
                sums.append(_grid_sum(fit.model, _small(recording, roles, n_units), rng))
        except CortseqError as error:  # a family may ask for more units than these, and counts may be high
            if not sums:
                return Audit("normalisation", True, f"{name}: not tried ({error})", stopping=False)
    low, high = min(sums), max(sums)
    fine = LEAST < low and high < 1.001  # what lies beyond the grid may be missing, nothing may be too much
    return Audit(
        "normalisation", bool(fine), f"{name}: all outcomes of a bin have probability {low:.6f} to {high:.6f}"
    )


def _symbol_sum(fit: Fit, one: xr.Dataset, rng: np.random.Generator) -> float:
    """sum_w p(w | past) at a bin of one trial; further from 1 by as much as `predict` disagrees."""
    n, t = one.attrs["n_symbols"], int(rng.integers(int(one["valid"].sum())))
    every = one.isel(trial=np.zeros(n, int)).load().copy(deep=True)
    every["symbols"].values[:, t] = np.arange(n)
    p = np.exp(fit.log_prob(every).values[:, :, t])  # (member, outcome)
    apart = np.abs(p - fit.predict(one).values[:, 0, t]).max()
    return float(p.sum(1)[np.abs(p.sum(1) - 1).argmax()] + apart)


def _grid_sum(model: Model, small: xr.Dataset, rng: np.random.Generator) -> float:
    """Sum (integrate) over all values of the last bin of a short trial, the model fitted to few units.

    A model of many inputs that is fitted to few trials may expect hundreds of spikes where an input is new to
    it: a bin in which probability is missing, and counts at the end of the grid or beyond are likely, is
    passed over for another one.

    Raises
    ------
    CortseqError : expected counts are too high to sum over in every bin that was tried.
    """
    n = small.sizes["trial"]
    fit = _quick(model, 3).fit(small, range(2 * n // 3), range(2 * n // 3, n), members=1)
    track = rec.kind(small)
    outcomes, weight, last = _grid(fit, small, track)
    for trial in rng.permutation(n)[:_TRIED].tolist():
        t = min(4, int(small["valid"].values[trial].sum()) - 1)
        one = small.isel(trial=[trial] * len(outcomes), time=slice(0, t + 1)).copy(deep=True)
        one[track.name].transpose(*track.dims).values[:, t] = outcomes
        p = np.exp(fit.log_prob(one).values[0, :, t]) * weight
        far = last.any() and fit.predict(one.isel(trial=[0])).values[0, 0, t].max() > outcomes.max() / 4
        cut_off = far or p[last].sum() >= _BEYOND
        if p.sum() > LEAST or not cut_off:  # what is too much is so whatever lies beyond the grid
            return float(p.sum())
    raise CortseqError("expected counts are too high to sum over")


def _grid(fit: Fit, small: xr.Dataset, track: Any) -> tuple[np.ndarray, float, np.ndarray]:
    """Return outcomes of a bin (outcome, feature), what each stands for, and which are at the grid's end."""
    if not track.has_events:
        seen = rec.observations(small)[small["valid"].values]
        outcomes = seen.mean(0) + GRID[:, None] * seen.std(0)
        step = float(np.prod((GRID[1] - GRID[0]) * seen.std(0)))
        return outcomes, step, np.zeros(len(outcomes), bool)
    n_units, support = small.sizes["unit"], fit.card["support"]
    most = min(MOST_COUNTS[n_units], (support or 256) + 1)
    outcomes = np.array([*itertools.product(range(most), repeat=n_units)])
    # beyond a support nothing has a probability
    ends = outcomes.max(1) >= 0.75 * most if most <= (support or 256) else np.zeros(len(outcomes), bool)
    return outcomes, 1.0, ends


def _small(recording: xr.Dataset, roles: dict[str, Any], n_units: int) -> xr.Dataset:
    """Return a few short training trials of the units nearest to 1/2 spike a bin (or first channels)."""
    track = rec.kind(recording)
    part = recording.isel(trial=roles["train"][:SMALL_TRIALS], time=slice(0, SMALL_BINS)).load()
    long = np.flatnonzero(part["valid"].values[:, :5].all(1))
    part = part.isel(trial=long)
    if len(long) < 3:
        raise CortseqError("too few trials of five bins")
    y = rec.observations(part)[part["valid"].values]
    rank = np.abs(np.log(y.mean(0) + 1e-3) - np.log(0.5)) if track.has_events else -y.std(0)
    kept = np.sort(np.argsort(rank, kind="stable")[:n_units])
    if track.has_events and y[:, kept].max() > MOST_COUNTS[len(kept)] / 4:
        raise CortseqError("counts too high to sum over", value=int(y[:, kept].max()))
    return part.isel({track.dimension: kept}).drop_vars(["true_rates", "ceiling"], errors="ignore")


def surrogates(chain: Fit, network: Fit, n_time: int, seed: int = 0) -> list[Audit]:
    """Who wins on data drawn from the fitted chain (the network should not), and from the network.

    Both are drawn from freely (`simulate`), and both specifications are fitted again to few short trials, the
    network for few epochs: reported, never stopping.
    """
    n_time = max(2, min(n_time, SURROGATE_BINS))
    n = SURROGATE_TRIALS
    train, valid, test = range(n // 2), range(n // 2, 2 * n // 3), range(2 * n // 3, n)
    found = []
    for source, truth in (("chain", chain), ("network", network)):
        try:
            drawn = truth.simulate(n, n_time, seed=seed)
            net, markov = (
                _quick(f.model, SURROGATE_EPOCHS).fit(drawn, train, valid, members=1, seed=seed)
                for f in (network, chain)
            )
            gain = _difference(net, markov, drawn, test, seed)
        except CortseqError as error:
            found.append(
                Audit("surrogates", True, f"data of the {source}: not tried ({error})", stopping=False)
            )
            continue
        wins = "the network" if gain.low > 0 else "the chain" if gain.high < 0 else "neither"
        odd = wins == ("the network" if source == "chain" else "the chain")
        detail = (
            f"data drawn from the fitted {source}, {n} trials: {wins} wins "
            f"(network over chain {gain.estimate:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] bits/event)"
        )
        if wins == "neither":
            detail += "; so few trials cannot show which is right"
        elif odd:
            detail += (
                f"; the wrong model wins on data of the {source}, so that a gain of the network over the "
                "chain says little here"
            )
        found.append(Audit("surrogates", not odd, detail, stopping=False))
    return found


def pair(fits: dict[str, Fit], scores: dict[str, xr.Dataset]) -> tuple[Fit, Fit] | None:
    """Return the chain and the network that are best on validation, None where a study has not both."""
    best = []
    for role in ("markov", "recurrent"):
        names = [name for name, fit in fits.items() if fit.model.role == role]
        if not names:
            return None
        valid = {n: scores[n]["log_prob"][:, scores[n]["role"].values == "valid"] for n in names}
        best.append(fits[max(names, key=lambda n: float(valid[n].sum()) / valid[n].sizes["member"])])
    return best[0], best[1]
