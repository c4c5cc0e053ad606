"""Co-smoothing (docs/likelihood.md#prediction-tasks): held-out units at all times from held-in units.

The task of the Neural Latents Benchmark (Pei et al. 2021, arXiv:2109.04463), in its bits/spike. Every
predictor here is a smoother, or knows no neural data at all (`null`, `psth`); a causal filter is never in
this table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortseq import models
from cortseq._lazy import pd, xr
from cortseq.data import Data, few
from cortseq.errors import CortseqError
from cortseq.metrics import BIT
from cortseq.models.base import Run
from cortseq.models.progress import Progress, silent
from cortseq.observations import MIN_RATE
from cortseq.observations.poisson import log_pmf
from cortseq.scoring import blocks
from cortseq.scoring.statistics import paired
from cortseq.scoring.units import benchmark_bits_per_spike

HELD_OUT = 0.25  # of the units
HMM_STATES = (8, 16, 32)
Rates = Callable[[], np.ndarray]  # expected counts (member, trial, time, unit held out)


def held_out_units(n_units: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(held in, held out): positions of units, a quarter held out at random; CortseqError below two units."""
    if n_units < 2:
        raise CortseqError(
            "co-smoothing needs at least two units", value=n_units, fix="set cosmoothing: false"
        )
    out = np.random.default_rng([seed, 13]).choice(n_units, max(1, round(HELD_OUT * n_units)), replace=False)
    return np.setdiff1d(np.arange(n_units), out), np.sort(out)


def table(
    recording: xr.Dataset, roles: dict[str, Any], members: int = 1, seed: int = 0, progress: Progress = silent
) -> pd.DataFrame:
    """One row per smoother: its benchmark bits/spike on the held-out units of test trials.

    Columns: smoother, value (mean over members; null: mean of the evaluated spikes), over_training_mean and
    its low, high (bits/spike over the training mean, interval over trials and members), units_in,
    units_out, trials. Of many trials of a role some are used (`data.few`).
    """
    roles = {role: few(recording, roles[role]) for role in ("train", "valid", "test")}
    # labels of trials are for the PSTH: the smoothers do not look at them
    train, valid, test = (Data.of(recording, trials, ("labels",)) for trials in roles.values())
    if not train.kind.has_events:
        raise CortseqError("co-smoothing is for counts", value=train.track, fix="set cosmoothing: false")
    held_in, held_out = held_out_units(train.n_features, seed)
    spikes = np.where(test.valid[..., None], test.y[..., held_out], np.nan)
    place = blocks.place([roles["test"]], bool(recording.attrs.get("continuous", 0)))
    rates = _smoothers(train, valid, test, held_in, held_out, members, seed)
    null, rows = _log_prob(rates["null"](), spikes), []
    for name, predict in rates.items():
        found = predict()
        gain = paired(_log_prob(found, spikes), null, np.nansum(spikes, (1, 2)), seed=seed, **place).per(BIT)
        value = float(np.mean([benchmark_bits_per_spike(member, spikes) for member in found]))
        rows.append(
            {"smoother": name, "value": value, "over_training_mean": gain.estimate, "low": gain.low}
            | {"high": gain.high, "members": len(found), "units_in": len(held_in), "units_out": len(held_out)}
            | {"trials": len(spikes)}
        )
        progress(f"co-smoothing by {name}: {value:+.4f} bits/spike")
    return pd.DataFrame(rows)


def _smoothers(
    train: Any, valid: Any, test: Any, held_in: Any, held_out: Any, members: int, seed: int
) -> dict[str, Rates]:
    def blind(family: str) -> Rates:
        model = models.find(family).model_validate({"family": family})
        return lambda: np.array(model.predict(model.learn(train, valid, Run()).params, test)[..., held_out])

    def bidirectional() -> np.ndarray:
        from cortseq.networks.smoothers.bidirectional import Bidirectional

        network = Bidirectional()
        return np.stack(
            [network.rates(train, valid, test, held_in, held_out, seed + m) for m in range(members)]
        )

    found: dict[str, Rates] = {"null": blind("null"), "psth": blind("psth")}
    if "hmm" in models.modules():
        found["hmm"] = lambda: _hmm(train, valid, test, held_in, held_out, members, seed)
    return found | {"bidirectional": bidirectional}


def _hmm(
    train: Any, valid: Any, test: Any, held_in: Any, held_out: Any, members: int, seed: int
) -> np.ndarray:
    """Forward-backward of a Poisson HMM of all units; as many states as validation trials choose."""
    best: tuple[float, np.ndarray] = (-np.inf, np.empty(0))
    for states in HMM_STATES:
        model = models.find("hmm").model_validate({"family": "hmm", "states": states})
        params = model.learn(train, valid, Run(members=members, seed=seed)).params
        rates = [model.cosmooth(params, d, held_in, held_out) for d in (valid, test)]  # type: ignore[attr-defined]
        spikes = np.where(valid.valid[..., None], valid.y[..., held_out], np.nan)
        score = float(_log_prob(rates[0], spikes).mean(0).sum())
        best = max(best, (score, rates[1]), key=lambda b: b[0])
    return best[1]


def _log_prob(rates: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """Poisson log-probabilities summed over bins and units, (member, trial) nats."""
    rates = np.maximum(rates, MIN_RATE)
    return np.asarray(np.nansum(log_pmf(spikes, rates), axis=(2, 3)))
