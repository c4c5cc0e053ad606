"""The coupled generalised linear model: every unit's rate from the filtered past of all units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import special
from cortseq.data import Data, Params, Passes, check_rates
from cortseq.errors import CortseqError
from cortseq.models import regression
from cortseq.models.base import Kind, Learned, Model, Run
from cortseq.models.filters import bank
from cortseq.models.horizons import farthest, forecasts
from cortseq.models.predictive import Predictive
from cortseq.models.regressors import bins, filtered, residual_sd, standardised, targets
from cortseq.models.work import Size, Work
from cortseq.observations import TRACKS, Distribution, Track, emission_of, with_dispersion
from cortseq.observations.arrays import rows
from cortseq.observations.base import Loss
from cortseq.observations.counts import HIGH
from cortseq.observations.gaussian import correlated_log_prob

HISTORY = 50  # bins, of the past and of past inputs where nothing is said
PENALTIES = np.logspace(1.5, -9, 22)  # per bin; from strong to weak, each warm-starting the next
OWN_PENALTIES = (1e-1, 1e-2, 1e-3, 1e-5)
PATIENCE = 3  # penalties that validation may get worse for before the path is left
Rows = tuple[np.ndarray, np.ndarray]  # regressors (bin, regressor) and what is predicted (feature, bin)
_BLOCK = 8_000_000  # sampled log rates at once: bounds memory
_SQUARES, _WEIGHTS = 5, 16  # arrays (regressor, regressor), and (feature, regressor), that are held at once
_SEEN = 64_000_000  # log rates of all leads at once, of a few trials of a large recording


class Glm(Model):
    """Truccolo et al. 2005 (J Neurophysiol 93:1074) and Pillow et al. 2008 (Nature 454:995), discrete time.

        eta_n(t) = b_n + sum_m sum_f w_nmf sum_{l=1..L} B_lf y_m(t - l) + sum_f v_nf a_f(t)
                   + sum_i u_ni x_i(t) + sum_i sum_f q_nif sum_{l=1..M} C_lf x_i(t - l) + sum_f r_nf c_f(t)

    Counts: Poisson of rate exp(eta), between 1e-7 and 8,100 a bin. Symbols: softmax(eta) on the one-hot past.
    Signals: vector autoregression N(m + s eta, sd^2) on the standardised past, one residual sd per channel
    (corrected for the degrees of freedom that the ridge leaves).
    History of L bins, own and coupling alike, through filters B of unit norm (lag, filter): "bins" one weight
    per lag; "exponential" exp(-(l - 1) / tau), tau geometric from 1/2 bin to L/2 bins; "cosine" raised
    cosines, evenly spaced in log lag. Of counts, y(t - l) is the count or (past: root) its square root: the
    response to a burst then saturates, which under an exponential link can be worth .1 bits/spike. A past
    that is missing (before the trial, or not recorded) is zero, and a_f(t) = sum over missing lags of B_lf
    tells the model how much of it.
    Inputs x, standardised, act at their own bin and, through filters C of the same kind as B, in the M bins
    after it (`input_history`). Inputs before the trial are missing and zero, which is their mean, and
    c_f(t) = sum over missing lags of C_lf tells so, once for all inputs. Without inputs there is no second
    line. `history: 0` leaves out the history: with inputs that is the encoding model, without any the null.
    `input_history` does not follow `history`, so that models with and without it see the same inputs.

    L2 penalty on all weights, none on b, the same for all units; it is chosen on validation down a path from
    strong to weak, which is left when validation has got worse PATIENCE times in a row. For signals a second
    path shrinks to each channel's fit to its own past alone, and validation chooses between the two.
    """

    role: ClassVar = "baseline"
    idle: ClassVar = {"symbols": ("past",), "signal": ("past",)}

    rung: ClassVar = "L5"
    blockwise: ClassVar = True
    driven: ClassVar = True
    replays: ClassVar = True
    family: Literal["glm"] = "glm"
    inputs: bool = Field(True, description="whether the model sees the inputs that a recording has")
    history: Annotated[int, Field(ge=0, le=10_000)] = Field(
        HISTORY, description="bins of the past that are seen; 0: inputs alone"
    )
    input_history: Annotated[int, Field(ge=0, le=10_000)] = Field(
        HISTORY, description="bins of past inputs that are seen, beside those of the bin itself"
    )
    filters: Literal["bins", "exponential", "cosine"] = "exponential"
    past: Literal["counts", "root"] = Field("root", description="what of the counts is filtered")
    n_filters: Annotated[int, Field(ge=1)] | None = Field(
        None, description="of exponential and cosine; default: one per doubling of the history"
    )

    @property
    def has_history(self) -> bool:
        """Whether predictions depend on what was observed before in the trial."""
        return self.history > 0

    def basis(self) -> np.ndarray:
        """Return the filters B of the history, (lag, filter); see `filters.bank`."""
        return bank(self.filters, self.history, self.n_filters)

    def input_basis(self) -> np.ndarray:
        """Return the filters C of past inputs, (lag, filter); see `filters.bank`."""
        return bank(self.filters, self.input_history, self.n_filters)

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Fit down the path of penalties, and choose the penalty on validation."""
        check_rates(train)
        (fixed, high), emission = _measured(train), emission_of(train)
        seen = Passes(train, partial(self._rows, fixed), self.breadth)
        checked = Passes(valid, lambda block: (block, self.design(fixed, block)), self.breadth)
        origins: dict[str, Any] = {"zero": None}
        if seen.kept and train.kind.has_scale:
            both = *seen.kept, *self._rows(fixed, valid)
            origins["own history"] = _uncoupled(emission.loss, self.basis().shape[1], *both)
        best: tuple[float, Params, dict[str, Any]] = (-np.inf, {}, {})
        tried = 0
        for toward, origin in origins.items():
            scores: list[float] = []
            for penalty, params in _path(fixed, emission, seen, _penalties(high), origin):
                scores.append(_score(emission, params, checked))
                run.progress(f"glm penalty {penalty:.1e} to {toward}: validation {scores[-1]:.1f} nats")
                if scores[-1] > best[0]:
                    best = (scores[-1], params, {"penalty": penalty, "toward": toward})
                if len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE:
                    break
            tried += len(scores)
        means = (emission.mean(_emission(emission, best[1], features)) for features, _ in seen)
        best[1].update(emission.refined(best[1], means, rows(train.y, train.valid)))
        n_free = sum(best[1][k].size for k in ("weight", "bias", "sd", "dispersion") if k in best[1])
        return Learned(
            {k: v[None] for k, v in best[1].items()},
            n_free,
            card={"chosen": best[2], "settings_tried": tried},
        )

    def work(self, size: Size) -> Work:
        """Return the arithmetic of the features' covariance, its eigenvectors and the path of penalties."""
        seen = size.features * self.basis().shape[1]  # features of one bin
        return {
            "fit": 1.0,
            "covariance": float(size.learned * seen**2),
            "eigenvectors": float(seen**3),
            "regression": float(size.learned * seen * size.features),
        }

    def held_mb(self, size: Size) -> float:
        """Return the MB of the features' covariance while its eigenvectors are found, or of the descent."""
        seen = size.features * self.basis().shape[1]
        return 8e-6 * max(_SQUARES * seen**2, seen**2 + _WEIGHTS * seen * size.features)

    @property
    def breadth(self) -> float:
        """Regressors of the past for each bin and feature."""
        return float(max(self.basis().shape[1], 1))

    def _rows(self, p: Params, data: Data) -> Rows:
        """Return regressors (bin, regressor) and what is predicted (feature, bin), of the valid bins."""
        return bins(self.design(p, data), data.valid), targets(p, data)

    def design(self, p: Params, data: Data, basis: np.ndarray | None = None) -> np.ndarray:
        """Return (trial, time, regressor): past and its missing part, past inputs and theirs, inputs."""
        basis = self.basis() if basis is None else basis
        known = data.valid[..., None].astype(float)
        past = filtered(np.where(known > 0, self._code(p, data.kind, data.y, data.n_features), 0.0), basis)
        parts = [past, basis.sum(0) - filtered(known, basis)]
        if data.inputs is not None:
            parts.append(self._of_inputs(p, data.inputs))
        return np.concatenate(parts, -1)

    def _of_inputs(self, p: Params, inputs: np.ndarray) -> np.ndarray:
        """Return regressors (trial, time, ...) of inputs (trial, time, input): past, what is missing, now."""
        now = (np.nan_to_num(inputs) - p["input_mean"]) / p["input_scale"]
        later = self.input_basis()
        known = np.ones((*inputs.shape[:2], 1))
        return np.concatenate([filtered(now, later), later.sum(0) - filtered(known, later), now], -1)

    def _code(self, p: Params, track: Track, y: np.ndarray, n: int) -> np.ndarray:
        """Bins as regressors (..., feature): (roots of) counts, one-hot labels, standardised signals."""
        if track.has_scale:
            return standardised(p, y)
        return (
            track.rooted(y) if self.past == "root" and track.has_events else track.encoded(y, n).astype(float)
        )

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (1, trial, time)."""
        return emission_of(data).log_prob(self._predicted(params, data), data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (1, trial, time, feature); label probabilities for symbols."""
        mean = emission_of(data).mean(self._predicted(params, data))
        return np.broadcast_to(mean, (1, *data.y.shape[:2], data.n_features))

    def _predicted(self, params: Params, data: Data) -> Params:
        p = {k: v[0] for k, v in params.items()}
        return _emission(emission_of(data), p, self.design(p, data))

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield the distribution of every bin, sds in the signal's own unit."""
        yield Predictive(self._predicted(params, data))

    def couplings(self, p: Params) -> np.ndarray:
        """Return the weights sum_f B_lf w_nmf of one member, (lag, from, to)."""
        basis, n = self.basis(), len(p["bias"])
        weight = p["weight"][:, : basis.shape[1] * n].reshape(n, basis.shape[1], n)
        return np.asarray(np.einsum("lf,nfm->lmn", basis, weight))

    def forecasts_on(self, track: str) -> Kind:
        """Return "exact" for signals, "sampled" for counts and symbols."""
        return "exact" if TRACKS[track].has_scale else "sampled"

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (1, trial, time, horizon).

        Counts and symbols: `samples` futures are drawn from every bin on, and the likelihood of y_t given the
        drawn bins is averaged. Signals: the exact Gaussian. Bins after t - h are drawn whether or not they
        were recorded; inputs are those recorded at their own bins.
        """
        return self.futures(params, data, horizons, samples, seed)

    def futures(
        self,
        params: Params,
        data: Data,
        horizons: Sequence[int],
        samples: int,
        seed: int,
        begins: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return `forecast` from chosen bins, (1, trial, time, horizon) nats; see `Model.futures`."""
        p, deepest = {k: v[0] for k, v in params.items()}, farthest(horizons)
        coupling, rng = self.couplings(p), np.random.default_rng(seed)
        covariance = _covariances(p, coupling, deepest) if data.kind.has_scale else None
        samples = samples if covariance is None else 1
        found = np.full((deepest, *data.y.shape[:2]), np.nan)
        size = max(1, _BLOCK // (samples * deepest * data.n_features))
        for trial, eta in enumerate(self._known(p, data, deepest)):
            every = np.arange(data.y.shape[1]) if begins is None else np.flatnonzero(begins[trial])
            for first in range(0, len(every), size):
                start = every[first : first + size]
                block = _futures(self, p, data, trial, eta, start, coupling, samples, rng, covariance)
                for lead, values in enumerate(block):
                    found[lead, trial, start[: len(values)] + lead] = values
        return forecasts(data, horizons, lambda h: found[h - 1])

    def _known(self, p: Params, data: Data, deepest: int) -> Iterator[np.ndarray]:
        """Yield of each trial eta from what is known 1 .. `deepest` bins before, (lead, time, feature)."""
        size = max(1, _SEEN // (deepest * data.valid.shape[1] * data.n_features))
        for first in range(0, len(data.y), size):
            some = data.at(slice(first, first + size))
            seen = [self._seen(p, some, lead) for lead in range(1, deepest + 1)]
            yield from (np.stack([eta[trial] for eta in seen]) for trial in range(len(some.y)))

    def _seen(self, p: Params, data: Data, lead: int) -> np.ndarray:
        """Return eta from what is known `lead` bins before, (trial, time, feature)."""
        basis = np.where(np.arange(self.history)[:, None] < lead - 1, 0.0, self.basis())
        return np.asarray(self.design(p, data, basis) @ p["weight"].T + p["bias"])

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw bin after bin given those drawn before, (trial, time, feature); labels (trial, time)."""
        if shape["n_inputs"] and shape.get("drive") is None:
            raise CortseqError("a model with inputs cannot run freely without them", key="inputs")
        return _drawn(self, params, shape, n_trials, n_time, rng)


def _drawn(
    model: Glm, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
) -> np.ndarray:
    """Return a free run of one member under the inputs `shape["drive"]`, see `Glm.simulate`."""
    track, n, emission = TRACKS[shape["track"]], shape["n_features"], emission_of(shape)
    driven = np.zeros((n_trials, n_time, n))
    if shape.get("drive") is not None:
        regressors = model._of_inputs(params, shape["drive"])
        driven += regressors @ params["weight"][:, -regressors.shape[-1] :].T
    coupling, basis = model.couplings(params), model.basis()
    missing = basis.sum(0) - np.vstack([np.zeros(basis.shape[1]), basis.cumsum(0)])
    missing_weight = params["weight"][:, coupling.shape[1] * basis.shape[1] :][:, : basis.shape[1]]
    past, drawn = np.zeros((n_trials, 0, n)), []
    for t in range(n_time):
        reach = past[:, : -model.history - 1 : -1]
        eta = np.tensordot(reach, coupling[: reach.shape[1]], 2)
        eta += params["bias"] + missing_weight @ missing[min(t, model.history)] + driven[:, t]
        drawn.append(emission.draw(emission.from_eta(eta, params), rng))
        past = np.concatenate([past, model._code(params, track, drawn[-1], n)[:, None]], 1)
    return np.stack(drawn, 1)


def _futures(
    model: Glm, p, data: Data, trial: int, seen, start, coupling, samples: int, rng, covariance
) -> list[np.ndarray]:
    """Return log p of what was recorded 0, 1, .. bins after each bin of `start`, the first one not known.

    seen (lead, time, feature): eta from the known past. A drawn bin's own part is added to later ones.
    """
    emission, n = emission_of(data), data.n_features
    later, block = np.zeros((len(seen), len(start), samples, n)), []
    for lead in range(len(seen)):
        start = start[start + lead < data.y.shape[1]]
        eta = seen[lead][start + lead][:, None] + later[lead, : len(start)]
        y = data.y[trial, start + lead]
        if covariance is not None:
            error = standardised(p, y) - eta[:, 0]
            block.append(correlated_log_prob(error, covariance[lead], p["signal_scale"]))
            drawn = eta
        else:
            q = emission.from_eta(eta, p)
            y = np.broadcast_to(y[:, None], (*eta.shape[:2], *y.shape[1:]))
            block.append(special.logsumexp(emission.log_prob(q, y), axis=1) - np.log(samples))
            drawn = model._code(p, data.kind, emission.draw(q, rng), n) if lead + 1 < len(seen) else eta
        for lag in range(min(len(seen) - lead - 1, len(coupling))):
            later[lead + lag + 1, : len(start)] += drawn @ coupling[lag]
    return block


def _uncoupled(
    loss: Loss, n_filters: int, features, y, features_valid, y_valid
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts of each channel from its own past, its penalty chosen on validation."""
    n = len(y)
    weights, biases = np.zeros((n, features.shape[1])), np.zeros(n)
    for unit in range(n):
        own = np.r_[unit : n_filters * n : n, n_filters * n : features.shape[1]]
        best = np.inf
        target = y_valid[unit : unit + 1]
        for weight, bias in regression.path(loss, features[:, own], y[unit : unit + 1], OWN_PENALTIES):
            eta = weight @ features_valid[:, own].T + bias[:, None]
            lost = float(loss.value(eta, eta, target)[0])
            if lost < best:
                best, weights[unit, own], biases[unit] = lost, weight[0], bias[0]
    return weights, biases


def _score(emission: Distribution, params: Params, checked: Passes[tuple[Data, np.ndarray]]) -> float:
    """Return the log-likelihood of the valid bins in nats, given their regressors."""
    nats = [
        emission.log_prob(_emission(emission, params, design), block.y)[block.valid]
        for block, design in checked
    ]
    return float(np.concatenate(nats).sum())


def _penalties(high: float) -> np.ndarray:
    """Return the penalties of a path from strong to weak.

    The curvature of the loss grows with the counts: where the mean count of a unit is above HIGH a bin, the
    path begins that much stronger.
    """
    stronger = np.arange(np.ceil(2 * np.log10(high)), 0, -1) / 2 if high > HIGH else np.zeros(0)
    return np.r_[PENALTIES[0] * 10**stronger, PENALTIES]


def _path(
    fixed: Params, emission: Distribution, seen: Passes[Rows], penalties: np.ndarray, origin: Any
) -> Iterator[tuple[float, Params]]:
    """Yield each penalty and the parameters that minimise the penalised loss of the training bins."""
    if seen.kept is None:
        found = regression.path_in_blocks(emission.loss, seen, penalties)
    else:
        found = regression.path(emission.loss, *seen.kept, penalties, origin=origin)
    for penalty, (weight, bias) in zip(penalties.tolist(), found, strict=True):
        params = {**fixed, "weight": weight, "bias": bias}
        if seen.kept and "signal_scale" in fixed:
            params["sd"] = residual_sd(params, *seen.kept, penalty)
        yield penalty, params


def _measured(train: Data) -> tuple[Params, float]:
    """Measure what standardises signals and inputs, and the null's dispersions, on training bins.

    Returned with them: the largest mean count of a unit, 0 of signals.
    """
    found: Params = {}
    emission = emission_of(train)
    null = emission.estimate(train.y, train.valid)
    found |= with_dispersion({}, null)
    if train.kind.has_scale:
        found |= {"signal_mean": null["mean"], "signal_scale": null["sd"]}
    if train.inputs is not None:
        seen = np.nan_to_num(train.inputs)[train.valid]
        scale = seen.std(0)
        found |= {"input_mean": seen.mean(0), "input_scale": np.where(scale > 0, scale, 1.0)}
    return found, 0.0 if train.kind.has_scale else float(emission.mean(null).max())


def _emission(emission: Distribution, p: Params, design: np.ndarray) -> Params:
    return emission.from_eta(design @ p["weight"].T + p["bias"], p)


def _covariances(p: Params, coupling: np.ndarray, deepest: int) -> list[np.ndarray]:
    """Covariances of errors 1 .. deepest bins ahead: sum_i Psi_i D Psi_i^T (Luetkepohl 2005, 2.2.2)."""
    psi, total, found = [np.eye(coupling.shape[1])], 0.0, []
    for lead in range(deepest):
        total = total + (psi[lead] * p["sd"] ** 2) @ psi[lead].T
        found.append(total)
        reach = range(min(lead + 1, len(coupling)))
        psi.append(sum((coupling[k].T @ psi[lead - k] for k in reach), np.zeros_like(psi[0])))
    return found


MODEL = Glm
