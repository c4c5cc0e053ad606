"""Slow drift: what the training trials recorded shortly before and after a trial say about its rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import Learned, Model, Run
from cortseq.models.floor import best, counted, refined, with_sd
from cortseq.models.horizons import forecasts
from cortseq.observations import Distribution, emission_of

REACH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # trials in which a weight falls by a factor of e
SHRINKAGE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e6)  # trials' worth of the overall mean
TAIL = 10  # reaches beyond the last training trial until only the overall mean is left


class Drift(Model):
    """Mean of the training trials around a trial's place in the session, the same in all bins of the trial.

        m_x = (sum_i a^|x - i| s_i + k b m) / (sum_i a^|x - i| n_i + k b),   a = exp(-1 / reach)

    x is the number of the trial in the recorded order; s_i and n_i are the sum and the number of the bins of
    training trial i, b their mean number, m the mean over all of them. Weights that fall exponentially on
    both sides are those of the smoother of a random walk seen in noise (Whittle 1983, Prediction and
    Regulation by Linear Least-Square Methods). The reach and k are chosen on validation trials.

    Training trials recorded after the trial are used as well as earlier ones, its own bins never: a rate that
    changes within trials is not followed. No other model is told the number of a trial. Far beyond the last
    training trial m_x is m. Trials of another session are taken by their numbers too, which means little.
    """

    role: ClassVar = "baseline"
    rung: ClassVar = "L0'"
    blockwise: ClassVar = True
    sees: ClassVar = ("place",)
    family: Literal["drift"] = "drift"

    @property
    def has_history(self) -> bool:
        """Whether predictions depend on what was observed before in the trial."""
        return False

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the reach and the shrinkage on validation."""
        emission = emission_of(train)
        _, params, chosen = best(emission, valid, _settings(emission, train), _distribution)
        assert train.place is not None
        left_out = dict(zip(train.place.tolist(), params.pop("left_out"), strict=True))

        def mean(block: Data) -> np.ndarray:
            assert block.place is not None
            own = np.stack([left_out[place] for place in block.place.tolist()])
            return np.broadcast_to(own[:, None], (*block.valid.shape, block.n_features))

        params |= refined(emission, params, mean, train)
        return Learned(
            {k: np.asarray(v)[None] for k, v in params.items()},
            emission.n_free(train.n_features, len(train.y)),
            card={"chosen": chosen, "settings_tried": len(REACH) * len(SHRINKAGE)},
        )

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | place of the trial) in nats, (1, trial, time)."""
        p = {k: v[0] for k, v in params.items()}
        return emission_of(data).log_prob(_distribution(p, data), data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return m_x, the same in every bin of a trial, (1, trial, time, feature)."""
        mean = _bins(emission_of(data), {k: v[0] for k, v in params.items()}, data)
        return np.broadcast_to(mean, (1, *data.y.shape[:2], data.n_features))

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | place), (1, trial, time, horizon): the same at every horizon."""
        return forecasts(data, horizons, lambda h: self.log_prob(params, data)[0])

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw bins about m_x, x evenly over the session, (trial, time, feature); labels (trial, time)."""
        emission = emission_of(shape)
        place = np.linspace(0, params["last"], n_trials).round().astype(int)
        mean = emission.mean(params)[place][:, None]
        return emission.draw(emission.around(np.repeat(mean, n_time, 1), params), rng)


def _settings(emission: Distribution, train: Data) -> Iterator[tuple[Params, dict[str, Any]]]:
    """Yield each reach and shrinkage, see `floor.best`.

    The spread about the means is measured as on new trials: each training trial about the mean of the others,
    "left_out" (trial, feature).
    """
    assert train.place is not None
    overall = emission.estimate(train.y, train.valid)
    centre = emission.mean(overall)
    y = np.concatenate([counted(block).sum(1, dtype=float) for _, block in train.blocks()])
    bins = np.column_stack([y, train.valid.sum(1)])  # the last column: numbers of bins
    last = train.place.max()
    fixed: Params = {k: overall[k] for k in ("sd", "dispersion") if k in overall}
    for reach in REACH:
        along = np.zeros((last + 1 + int(TAIL * reach), bins.shape[1]))
        along[train.place] = bins
        whole = _both_ways(along, np.exp(-1 / reach))
        for shrinkage in SHRINKAGE:
            k = shrinkage * train.valid.sum(1).mean()
            mean, left_out = (
                (s[:, :-1] + k * centre) / (s[:, -1:] + k) for s in (whole, whole[train.place] - bins)
            )
            spread = with_sd(fixed, overall, partial(_in_every_bin, left_out), train)
            chosen = {"reach_trials": reach, "shrinkage_trials": shrinkage}
            yield emission.around(mean, spread) | {"last": last, "left_out": left_out}, chosen


def _in_every_bin(mean: np.ndarray, data: Data) -> np.ndarray:
    """Return the means (trial, feature) as those of all bins, (trial, 1, feature)."""
    return mean[:, None]


def _distribution(p: Params, data: Data) -> Params:
    """Return the parameters of each bin, by the place of its trial."""
    emission = emission_of(data)
    return emission.around(_bins(emission, p, data), p)


def _both_ways(values: np.ndarray, decay: float) -> np.ndarray:
    """Return sum_i decay^|x - i| values_i for each x, (trial, column)."""
    from scipy.signal import lfilter

    before = lfilter([1.0], [1.0, -decay], values, axis=0)
    after = lfilter([1.0], [1.0, -decay], values[::-1], axis=0)[::-1]
    return np.asarray(before + after - values)


def _bins(emission: Distribution, p: Params, data: Data) -> np.ndarray:
    """Return the mean of each trial by its place, (trial, 1, feature)."""
    if data.place is None:
        raise CortseqError("drift needs the number of each trial", key="sees", fix="use the methods of a Fit")
    table = emission.mean(p)
    found: np.ndarray = table[np.minimum(data.place, len(table) - 1)][:, None]
    return found


MODEL = Drift
