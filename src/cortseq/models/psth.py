"""The peri-stimulus time histogram: what is known from the time in the trial and its condition alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import ndimage
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models import conditions
from cortseq.models.base import Learned, Model, Run
from cortseq.models.floor import best, clearly_better, counted, refined, with_sd
from cortseq.models.horizons import forecasts
from cortseq.observations import Distribution, emission_of

WIDTHS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)  # bins, sd of the Gaussian over time
SHRINKAGE = (1.0, 10.0, 100.0, 1000.0)  # trials' worth of the overall mean
TO_POOLED = (1.0, 3.0, 10.0, 30.0, 100.0)  # trials' worth of the mean over all conditions


class Psth(Model):
    """Mean over training trials at each time in the trial, per condition where trials have labels.

        m_t  = (sum_r y_rt + k m) / (n_t + k)                 all trials r, m the mean over all bins
        m_ct = (sum_{r in c} y_rt + q m_t) / (n_ct + q)       trials of condition c

    Both are smoothed over time by a Gaussian (m_t after shrinking, m_ct before). Widths, k and q are chosen
    on validation trials; m_ct is then the posterior mean of a rate whose prior mean is m_t and is worth q
    trials (empirical Bayes: Casella 1985, Am Stat 39:83). Conditions are the values of a covariate, or of all
    covariates together, whichever validation prefers; all trials are pooled where none gains more than a
    standard error on validation. A condition without a training trial is given m_t. Signals share one
    residual sd per channel over all times, counts one dispersion per unit where they have one.

    It is the only model that sees covariates: networks have to infer the condition from the activity.
    """

    role: ClassVar = "baseline"
    rung: ClassVar = "L0'"
    blockwise: ClassVar = True
    sees: ClassVar = ("labels",)
    family: Literal["psth"] = "psth"
    conditions: str = Field(
        "auto",
        description="covariate whose values are conditions; auto: what validation chooses of all that have "
        "few values and are no outcome; none: all trials are pooled",
    )

    def check(self, data: Data) -> None:
        """Raise a CortseqError if the covariate does not label the trials."""
        if self.conditions not in ("auto", "none", *(data.labels or {})):
            known = ", ".join(["auto", "none", *(data.labels or {})])
            raise CortseqError(
                "is no covariate of the recording that labels trials (an outcome is none)",
                key="conditions",
                value=self.conditions,
                fix=f"choose of {known}",
            )

    @property
    def has_history(self) -> bool:
        """Whether predictions depend on what was observed before in the trial."""
        return False

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the conditions, the smoothing over time and the shrinkage on validation."""
        emission = emission_of(train)
        pooled = best(emission, valid, self._pooled(emission, train), _distribution)
        candidates = self._candidates(train)
        score, params, chosen = pooled
        for names in candidates:
            found = best(emission, valid, _conditioned(emission, pooled[1], train, names), _distribution)
            if found[0].sum() > score.sum() and clearly_better(found[0], pooled[0]):
                score, params, chosen = found[0], found[1], pooled[2] | found[2]
        if len(params["covariates"]):
            params = params | refined(emission, params, partial(_bins, emission, params), train)
        sets = train.y.shape[1] * max(len(params["condition"]), 1)
        tried = len(WIDTHS) * (len(SHRINKAGE) + len(candidates) * len(TO_POOLED))
        return Learned(
            {k: np.asarray(v)[None] for k, v in params.items()},
            emission.n_free(train.n_features, sets),
            card={"chosen": {"conditions": [], **chosen}, "settings_tried": tried},
        )

    def _pooled(self, emission: Distribution, train: Data) -> Iterator[tuple[Params, dict[str, Any]]]:
        """Yield each smoothing and shrinkage of the mean over all trials, see `floor.best`."""
        none = np.zeros(0, np.int64)
        nobody = {"condition": none, "covariates": none, "share": np.ones(1)}
        total = sum(counted(block).sum(0) for _, block in train.blocks())
        centre = emission.mean(emission.estimate(train.y, train.valid))
        for width in WIDTHS:
            for shrinkage in SHRINKAGE:
                mean = (total + shrinkage * centre) / (train.valid.sum(0)[:, None] + shrinkage)
                if width:
                    mean = ndimage.gaussian_filter1d(mean, width, axis=0, mode="nearest")
                found = emission.over_time(mean, train.y, train.valid)
                fixed = {k: v[0] for k, v in found.items() if k in ("sd", "dispersion")}
                params = emission.around(emission.mean(found)[None], fixed) | nobody
                yield params, {"width_bins": width, "shrinkage_trials": shrinkage}

    def _candidates(self, train: Data) -> list[list[str]]:
        """Return the sets of covariates that are tried, see `conditions.candidates`."""
        labels = train.labels or {}
        if self.conditions in labels:
            return [[self.conditions]]
        return conditions.candidates(labels) if self.conditions == "auto" else []

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | t, condition) in nats, (1, trial, time)."""
        return emission_of(data).log_prob(_distribution(_first(params), data), data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return m_ct, the same in every trial of a condition, (1, trial, time, feature)."""
        return _bins(emission_of(data), _first(params), data)[None]

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | t, condition), (1, trial, time, horizon): the same at every horizon."""
        return forecasts(data, horizons, lambda h: self.log_prob(params, data)[0])

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw independent bins about m_ct, (trial, time, feature); labels (trial, time).

        Conditions are as frequent as among the training trials.
        """
        emission = emission_of(shape)
        row = rng.choice(len(params["share"]), n_trials, p=params["share"])
        return emission.draw(emission.around(_cut(emission.mean(params)[row], n_time), params), rng)


def _conditioned(
    emission: Distribution, pooled: Params, train: Data, names: list[str]
) -> Iterator[tuple[Params, dict[str, Any]]]:
    """Yield each smoothing and shrinkage of the mean per condition, see `floor.best`."""
    assert train.labels is not None
    key, row, trials = np.unique(
        conditions.keys(train.labels, names), return_inverse=True, return_counts=True
    )
    n_time = train.valid.shape[1]
    total, n = np.zeros((len(key), n_time, train.n_features)), np.zeros((len(key), n_time, 1))
    for where, block in train.blocks():
        np.add.at(total, row[where], counted(block))
        np.add.at(n, row[where], block.valid[..., None])
    overall = emission.estimate(train.y, train.valid)
    table = {
        "condition": key,
        "covariates": np.array([conditions.hashed(name) for name in sorted(names)], np.int64),
        "share": np.concatenate([[0.0], trials / len(row)]),
    }
    prior = emission.mean(pooled)
    for width in WIDTHS:
        if width:
            smooth_total, smooth_n = (
                ndimage.gaussian_filter1d(a, width, axis=1, mode="nearest") for a in (total, n)
            )
        else:
            smooth_total, smooth_n = total, n
        for shrinkage in TO_POOLED:
            mean = np.concatenate([prior, (smooth_total + shrinkage * prior) / (smooth_n + shrinkage)])
            fixed: Params = {k: pooled[k] for k in ("sd", "dispersion") if k in pooled}
            spread = with_sd(fixed, overall, partial(_of_conditions, mean, row + 1), train)
            chosen = {"conditions": names, "condition_width_bins": width, "pooled_trials": shrinkage}
            yield emission.around(mean, spread) | table, chosen


def _of_conditions(mean: np.ndarray, row: np.ndarray, data: Data) -> np.ndarray:
    """Return the rows (trial, time, feature) of a table (condition, time, feature) that trials have."""
    return np.asarray(mean[row])


def _distribution(p: Params, data: Data) -> Params:
    """Return the parameters of each bin, by the condition of its trial."""
    emission = emission_of(data)
    return emission.around(_bins(emission, p, data), p)


def _bins(emission: Distribution, p: Params, data: Data) -> np.ndarray:
    """Return the mean of each bin, (trial, time, feature), by the condition of its trial."""
    row = np.zeros(len(data.y), int)
    names = [name for name in data.labels or {} if conditions.hashed(name) in p["covariates"]]
    if names and len(names) == len(p["covariates"]):
        assert data.labels is not None
        key = conditions.keys(data.labels, names)
        at = np.minimum(np.searchsorted(p["condition"], key), len(p["condition"]) - 1)
        row = np.where(p["condition"][at] == key, at + 1, 0)
    return _cut(emission.mean(p)[row], data.y.shape[1])


def _cut(mean: np.ndarray, n_time: int) -> np.ndarray:
    """Return n_time bins of (trial, time, feature); past the longest training trial the last one goes on."""
    return mean[:, np.minimum(np.arange(n_time), mean.shape[1] - 1)]


def _first(params: Params) -> Params:
    return {k: v[0] for k, v in params.items()}


MODEL = Psth
