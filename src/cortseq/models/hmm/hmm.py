"""Hidden Markov models of counts, labels and signals: exact filter, smoother and forecasts; learned by EM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from cortseq._lazy import lazy, pd
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import Kind, Learned, Model, Run
from cortseq.models.hmm import em, steered
from cortseq.models.hmm.ahead import draw_rows, forecasts
from cortseq.models.hmm.autoregressive import AutoregressiveStates
from cortseq.models.hmm.driven import Driven, DrivenPredictive, driven_states
from cortseq.models.horizons import reached
from cortseq.models.predictive import Predictive
from cortseq.models.work import Size, Work
from cortseq.observations import TRACKS, StateEmission, emission_of, states_of
from cortseq.observations.poisson import Poisson
from cortseq.observations.states import Block

forward_backward = lazy("cortseq.models.hmm.forward_backward")  # it brings the compiler

CHAIN, COMMON = ("initial", "transition", "transition_drive"), ("centre", "scale")


class Hmm(Model):
    """s_t ~ A[s_{t-1}], y_t ~ p(y | s_t): learned by expectation maximisation from `members` random starts.

        p(y_t | y_<t) = sum_k p(s_t = k | y_<t) p(y_t | k)

    by exact filtering (Rabiner 1989, Proc IEEE 77:257).

    Counts are Poisson (or as the study says), labels categorical, signals Gaussian with a diagonal
    covariance, or with `autoregressive` y_t = A_k y_{t-1} + b_k + noise.

    Where a recording has inputs u_t, each state responds to those of the bin with weights of its own: log
    rates of counts, means of signals and logits of labels are linear in u_t (`driven`, with the prior of the
    weights). With `transitions: input` they also make states more or less likely to be entered (`steered`).
    EM then ascends by Newton's steps in place of closed forms. Counts other than Poisson and `autoregressive`
    have no such emission.

    Estimates are maxima a posteriori: each state has `prior` bins' worth of what all bins have in common; the
    initial distribution and every row of A have one pseudo-count (or `prior`, where that is less) spread
    evenly, and the diagonal of A `sticky` more. A start is k-means of smoothed observations from random
    seeds. An iteration is three steps of EM and a leap (`squarem`), which is taken only where it is an
    ascent; of each climb the iterate with the best validation likelihood is kept.
    """

    role: ClassVar = "baseline"
    has_members: ClassVar = True
    blockwise: ClassVar = True
    idle: ClassVar = {"symbols": ("autoregressive",), "counts": ("autoregressive",)}
    rung: ClassVar = "L3"
    driven: ClassVar = True
    family: Literal["hmm"] = "hmm"
    states: Annotated[int, Field(ge=1, le=512)] = 16
    sticky: Annotated[float, Field(ge=0)] = Field(0.0, description="pseudo-counts on the diagonal")
    autoregressive: bool = Field(False, description="signals only: y_t = A_k y_{t-1} + b_k + noise")
    inputs: bool = Field(True, description="whether the model sees the inputs that a recording has")
    transitions: Literal["fixed", "input"] = Field(
        "fixed", description="whether inputs change which state is entered"
    )
    prior: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="bins' worth of the overall emission in a state; default 10, labels 1, "
        "autoregressive 500",
    )
    iterations: Annotated[int, Field(ge=1)] = Field(500, description="at most")
    patience: Annotated[int, Field(ge=1)] = Field(
        5, description="iterations in which validation gains less than 1e-4 nats per event"
    )

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Run EM from a random start per member; see `Model.learn`."""
        from cortseq.compiled import threads

        with threads.single():
            emission = self._emission(train)
            emission.standardise(train)
            sets = [emission.blocks(data, self.states, em.PRECISION) for data in (train, valid)]
            emission.pool(em.add(emission.statistics(b, np.ones((b.constant.size, 1))) for b in sets[0]))
            n_events = [max(1, int(data.n_events().sum())) for data in (train, valid)]
            found = []
            for member in range(run.members):
                start = em.start(self, emission, train, sets[0], np.random.default_rng([run.seed, member]))
                found.append(em.climb(self, emission, start, sets, n_events))
                run.progress(f"hmm member {member}: {found[-1][2]}", (member + 1) / run.members)
        params = {k: np.stack([p[k] for p, _, _ in found]) for k in found[0][0]}
        common = {k: np.repeat(v[None], run.members, 0) for k, v in emission.common.items()}
        curves = pd.concat([c.assign(member=m) for m, (_, c, _) in enumerate(found)], ignore_index=True)
        n_free = self.states**2 - 1 + self.states * emission.n_free() + emission.n_shared
        n_free += (self.states - 1) * train.n_inputs * (self.transitions == "input")
        card = {k: [end[k] for _, _, end in found] for k in found[0][2]}
        return Learned(params | common, n_free, curves, {**card, "settings_tried": 1})

    def work(self, size: Size) -> Work:
        """Return the arithmetic of one iteration; how many there are depends on the recording."""
        return em.arithmetic(self.states, size)

    def check(self, data: Data) -> None:
        """Raise a CortseqError for inputs that no emission takes, or transitions that lack them."""
        self._emission(data)
        if self.transitions == "input" and not data.n_inputs:
            raise CortseqError("there are no inputs that could change transitions", key="transitions")

    def _emission(self, shape: Data | dict[str, Any]) -> StateEmission:
        track = TRACKS[shape["track"] if isinstance(shape, dict) else shape.track]
        n_inputs = shape.get("n_inputs", 0) if isinstance(shape, dict) else shape.n_inputs
        autoregressive = self.autoregressive and track.has_scale
        if n_inputs:
            return driven_states(shape, self.prior, n_inputs, autoregressive)
        if autoregressive:
            return AutoregressiveStates(emission_of(shape), self.prior)
        return states_of(shape, self.prior)

    def maximise(self, emission: StateEmission, e: em.Expected) -> Params:
        """Return the parameters of one member of greatest posterior, given expected counts: the M-step."""
        even = self._pseudo_count(emission)
        initial = e.initial + even
        moves = e.transition + even + self.sticky * np.eye(self.states)
        chain = {"initial": initial / initial.sum(), "transition": moves / moves.sum(1, keepdims=True)}
        if e.driven:
            chain |= steered.maximise(chain, moves, e)
        return chain | emission.maximise({**e.emission, "at": e.at})

    def log_prior(self, emission: StateEmission, p: Params) -> float:
        """Return the log prior density but for a constant: EM climbs its sum with the log-likelihood."""
        even = self._pseudo_count(emission) * (np.log(p["initial"]).sum() + np.log(p["transition"]).sum())
        chain = even + self.sticky * np.log(np.diag(p["transition"])).sum() + steered.log_prior(p)
        return float(chain + emission.log_prior(p))

    def _pseudo_count(self, emission: StateEmission) -> float:
        return min(1.0, emission.prior) / self.states

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t), (member, trial, time) in nats."""
        out = np.zeros((len(params["initial"]), *data.valid.shape))
        for m, emission, p, block in _members(self, params, data):
            log_prob = em.forward(emission, p, block)[2] + block.constant
            out[m, block.trials, : len(log_prob)] = log_prob.T
        return out

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (member, trial, time, feature)."""
        out = np.zeros((len(params["initial"]), *data.valid.shape, data.n_features))
        for m, emission, p, block in _members(self, params, data):
            mean = emission.expect(p, block, em.forward(emission, p, block)[0])
            out[m, block.trials, : len(mean)] = mean.swapaxes(0, 1)
        return out

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield each member's mixture of emissions of every bin; nothing for an autoregressive one."""
        return iter([] if "dynamics" in params else _mixtures(_members(self, params, data), params, data))

    def cosmooth(self, params: Params, data: Data, held_in: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """Predict units held out from all bins of the units held in.

        E[y_n,t] = sum_k p(s_t = k | y_held_in, all times) E[y_n | k], by forward and backward passes over the
        units held in alone.

        Parameters
        ----------
        held_in, held_out : (n,), positions of units.

        Returns
        -------
        mean : (member, trial, time, unit held out), NaN where a bin is missing.

        Raises
        ------
        CortseqError : labels, or an autoregressive model.
        """
        if data.kind.has_labels or "dynamics" in params:
            raise CortseqError(
                "only counts and Gaussian signals have units that can be held out",
                key="autoregressive" if "dynamics" in params else "track",
                value="dynamics" in params or data.track,
            )
        held_in, held_out = np.asarray(held_in, int), np.asarray(held_out, int)
        seen = replace(data, y=data.y[..., held_in], n_features=len(held_in))
        out = np.full((len(params["initial"]), *data.valid.shape, len(held_out)), np.nan)
        hidden = self._emission(replace(data, n_features=len(held_out)))
        hidden.common = {k: params[k][0][held_out] for k in COMMON if k in params}
        for m, emission, p, block in _members(self, _of_units(params, held_in), seen):
            gamma = em.smoothed(emission, p, block)[0]
            theirs = _of_units({k: v[m] for k, v in params.items()}, held_out)
            out[m, block.trials, : len(gamma)] = hidden.expect(theirs, block, gamma).swapaxes(0, 1)
        return np.where(data.valid[..., None], out, np.nan)

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw trials of one member, (trial, time, feature); labels (trial, time)."""
        if shape.get("n_inputs"):
            raise CortseqError("a model with inputs cannot run freely without them", key="inputs")
        emission = _scaled(self, shape, params)
        drawn: list[np.ndarray] = []
        rows = np.tile(params["initial"], (n_trials, 1))
        for _ in range(n_time):
            state = draw_rows(rows, rng)
            drawn.append(emission.draw(params, state, drawn[-1] if drawn else None, rng))
            rows = params["transition"][state]
        return np.stack(drawn, 1)

    def forecasts_on(self, track: str) -> Kind:
        """Say whether forecasts on a track are exact or a mean over samples."""
        return "sampled" if self.autoregressive and TRACKS[track].has_scale else "exact"

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (member, trial, time, horizon) in nats.

        NaN for t < h - 1 and in missing bins.

        p(s_t | y_0 .. y_{t-h}) = p(s_{t-h} | y_0 .. y_{t-h}) A^h, exact; recorded inputs up to bin t count as
        known, and A^h is the product of the transitions that they make. An autoregressive model needs the
        bins in between: the mean over `samples` futures of p(y_t | future, its last state), exact for h = 1.
        """
        known = reached(data, horizons)
        out = np.full((len(params["initial"]), *known.shape), np.nan)
        for m, emission, p, block in _members(self, params, data):
            for i, log_prob in enumerate(forecasts(emission, p, block, horizons, samples, [seed, m])):
                out[m, block.trials, : len(log_prob), i] = log_prob.T
        return np.where(known, out, np.nan)

    @staticmethod
    def log_prob_counts(
        initial: ArrayLike, transition: ArrayLike, rates: ArrayLike, counts: ArrayLike
    ) -> np.ndarray:
        """Return log p(y_t | y_<t) of a Poisson HMM exactly, (time,) in nats per bin.

        A bin that no state can emit is -inf, and says nothing about the state.

        Parameters
        ----------
        initial : (state,), distribution in the first bin.
        transition : (from, to).
        rates : (state, unit), expected counts per bin; a rate of 0 emits no spike.
        counts : (time, unit).

        Raises
        ------
        CortseqError : shapes that do not fit, negative values, or a distribution that does not sum to 1.
        """
        return _log_prob_counts(*(np.array(a, float) for a in (initial, transition, rates, counts)))


def _scaled(model: Hmm, shape: Data | dict[str, Any], p: Params) -> StateEmission:
    """Return the emission of a member, with what its states share."""
    emission = model._emission(shape)
    emission.common = {k: p[k] for k in COMMON if k in p}
    return emission


def _members(model: Hmm, params: Params, data: Data) -> Iterator[tuple[int, StateEmission, Params, Block]]:
    """Yield each member with each block of trials."""
    from cortseq.compiled import threads

    emission = _scaled(model, data, {k: v[0] for k, v in params.items()})
    blocks = emission.blocks(data, params["initial"].shape[1])
    with threads.single():
        for m in range(len(params["initial"])):
            p = {k: v[m] for k, v in params.items() if k not in COMMON}
            yield from ((m, emission, p, block) for block in blocks)


def _mixtures(
    members: Iterator[tuple[int, StateEmission, Params, Block]], params: Params, data: Data
) -> list[Predictive]:
    """Return each member's predicted states, with what each state emits; see `Hmm.predictive`."""
    n, states = params["initial"].shape
    weight, states_of_member = np.zeros((n, *data.valid.shape, states)), {}
    for m, emission, p, block in members:
        predicted = em.forward(emission, p, block)[0]
        weight[m, block.trials, : len(predicted)] = predicted.swapaxes(0, 1)
        states_of_member[m] = emission, p
    return [_mixture(*states_of_member[m], weight[m], data) for m in range(n)]


def _mixture(emission: StateEmission, p: Params, weight: np.ndarray, data: Data) -> Predictive:
    """Return the mixture of what states emit, their predicted probabilities being `weight`."""
    if isinstance(emission, Driven):
        assert data.inputs is not None
        return DrivenPredictive({"inputs": np.nan_to_num(data.inputs)}, weight, emission, p)
    spread = {"sd": p["sd"] * emission.common["scale"]} if "sd" in p else p
    return Predictive(emission_of(data).around(emission.mean(p), spread), weight)


def _of_units(params: Params, units: np.ndarray) -> Params:
    """Return the parameters of some units."""
    return {k: v if k in CHAIN else v[..., units] for k, v in params.items()}


def _log_prob_counts(
    initial: np.ndarray, transition: np.ndarray, rates: np.ndarray, y: np.ndarray
) -> np.ndarray:
    _check_chain(initial, transition, rates, y)
    log_rate = np.log(np.where(rates > 0, rates, 1.0))
    log_b = y @ log_rate.T - rates.sum(1)
    log_b[(y > 0).astype(float) @ (rates == 0).T.astype(float) > 0] = -np.inf
    one = forward_backward.forward(log_b[:, None], np.array([len(y)]), initial, transition)[2]
    return np.asarray(one[:, 0] + Poisson(y.shape[1]).base(y, None).sum(1))


def _check_chain(initial: np.ndarray, transition: np.ndarray, rates: np.ndarray, counts: np.ndarray) -> None:
    n = initial.size
    fits = initial.shape == (n,) and transition.shape == (n, n) and rates.ndim == counts.ndim == 2
    if not fits or len(rates) != n or rates.shape[1] != counts.shape[1]:
        shapes = [a.shape for a in (initial, transition, rates, counts)]
        raise CortseqError(
            "shapes are not (state,), (state, state), (state, unit), (time, unit)",
            key="initial, transition, rates, counts",
            value=shapes,
        )
    for key, a in {"initial": initial, "transition": transition, "rates": rates, "counts": counts}.items():
        if not (np.isfinite(a) & (a >= 0)).all():
            raise CortseqError("a value is negative or not finite", key=key)
    for key, p in {"initial": initial, "transition": transition}.items():
        if np.abs(p.sum(-1) - 1).max() > 1e-6:
            raise CortseqError("a distribution does not sum to 1", key=key)


MODEL = Hmm
