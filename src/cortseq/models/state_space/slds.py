"""Switching linear dynamical systems: a Markov chain chooses which linear law the latent follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from cortseq._lazy import pd
from cortseq.data import Data, Params
from cortseq.models.base import Learned, Run
from cortseq.models.hmm.ahead import draw_rows
from cortseq.models.horizons import reached
from cortseq.models.predictive import Predictive
from cortseq.models.state_space import draws, particles, regimes, switching
from cortseq.models.state_space.base import COMMON, StateSpace
from cortseq.models.state_space.lds import Dynamics, Lds, modes
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.seen import FEWEST
from cortseq.models.work import Size, Work
from cortseq.observations import Distribution


class Slds(StateSpace):
    """A switching linear dynamical system: states, each with a linear law of the latent.

        p(s_t = k | s_{t-1} = j) = T_jk,    p(s_1 = k) = pi_k
        z_t = A_k z_{t-1} + b_k + B_k u_t + w_t,  w_t ~ N(0, Q_k),  k = s_t
        z_0 ~ N(m_0 + B_0 u_0, P_0);    signals and counts are seen through z_t as by `lds`

    With `recurrent` the latent decides on the next state, too: p(s_t = k | s_{t-1} = j, z_{t-1}) is
    proportional to T_jk exp(R_k . z_{t-1}) (Linderman et al. 2017, AISTATS 54:914).

    Learning begins with a linear system (`lds`) whose latents are cut into states, then climbs a bound of the
    likelihood in which states and latents are independent given the recording (Ghahramani & Hinton 2000,
    Neural Comput 12:831; counts: Zoltowski et al. 2020, ICML 119:11403). Of a climb the iterate with the
    best validation score is kept, the linear system being the first of them. Members differ in the random
    cut.

    Predictions are those of a particle filter over sequences of states, each with a Gaussian of the latent
    (Doucet et al. 2000, UAI 16:176; Fearnhead & Clifford 2003, J R Stat Soc B 65:887): see `particles`. It is
    exact for signals as the number of particles grows; for counts each Gaussian is that of the assumed-
    density filter of `lds`. Random numbers are fixed before a recording is seen, so that a prediction
    depends on the past alone and is normalised for every number of particles. The number is doubled until
    the score of the validation trials changes by less than .001 bits per event (card: `particle_error`,
    `draw_error`).
    """

    called: ClassVar = "a switching linear dynamical system"
    has_members: ClassVar = True
    family: Literal["slds"] = "slds"
    states: Annotated[int, Field(ge=1, le=64)] = Field(3, description="linear laws of the latent")
    latents: Annotated[int, Field(ge=1, le=256)] = Field(4, description="dimensions of the latent")
    recurrent: bool = Field(False, description="whether the latent decides on the next state")

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a specification that fits in a second."""
        return super().small(**{"states": 2, "iterations": 3, **more})

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Learn a linear system, then states from a random start per member; see `Model.learn`."""
        from cortseq.compiled import threads

        shared = {
            k: getattr(self, k) for k in ("latents", "skip", "inputs", "prior", "iterations", "patience")
        }
        simple = Lds(**shared)
        linear = simple.learn(train, valid, replace(run, members=1)).params
        begun = float(np.nansum(valid.masked(simple.log_prob(linear, valid))))
        readout, p = self.readout(train), {k: v[0] for k, v in linear.items() if k not in COMMON}
        readout.measure(train)
        if train.kind.has_events:
            readout.common["points"] = draws.nested(regimes.FEW_DRAWS, self.latents, FEWEST)
        given = readout, p, begun, (train, valid), run
        with threads.single():
            found = [self._one(*given, member) for member in range(run.members)]
        curves = pd.concat([one.curve for one in found], ignore_index=True)
        card = {k: [one.card[k] for one in found] for k in found[0].card} | {"settings_tried": 1}
        params = particles.alike([one.p for one in found])
        return Learned(params, self._n_free(readout, train), curves, card)

    def _one(
        self, readout: Readout, linear: Params, begun: float, sets: tuple[Data, Data], run: Run, member: int
    ) -> regimes.Climbed:
        """Return what one member learned; `begun`: nats of the validation trials under `linear`."""
        found = regimes.climb(self, readout, linear, sets, run, member)
        reached, card = particles.enough(readout, found.p, sets[1]), found.card
        if begun > reached.score:
            first = switching.of_linear(linear, self.states, self.recurrent)
            reached, card = particles.enough(readout, first, sets[1]), card | {"best_iteration": 1}
        curve = found.curve.assign(best=found.curve["epoch"] == card["best_iteration"])
        said = ", ".join(f"{name} {value:.5g}" for name, value in reached.card.items())
        run.progress(f"{self.family} member {member}: {card}, {said}", (member + 1) / run.members)
        return replace(found, p=reached.p, curve=curve, card=card | reached.card)

    def _n_free(self, readout: Readout, train: Data) -> int:
        n, k, n_inputs = self.latents, self.states, train.n_inputs
        law = k * (n * n + n + n * n_inputs + n * (n + 1) // 2)
        first = n + n * n_inputs + n * (n + 1) // 2
        chain = k * k - 1 + self.recurrent * (k - 1) * n
        return law + first + chain + readout.n_free(n) - n * n - n  # a change of basis and of origin

    def work(self, size: Size) -> Work:
        """Return the arithmetic of one iteration; how many there are depends on the recording."""
        return regimes.arithmetic(self, size)

    def _read_by(self, shape: Data, params: Params, member: int) -> tuple[Readout, Params]:
        """Return the read-out and the parameters of one member."""
        p = {k: v[member] for k, v in params.items()}
        readout = self.readout(shape)
        readout.common = {k: p[k] for k in COMMON if k in p}
        return readout, p

    def _members(self, params: Params, data: Data) -> Iterator[tuple[Readout, Params]]:
        for member in range(len(params["initial"])):
            yield self._read_by(data, params, member)

    # -- predictions ----------------------------------------------------------------------------------

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (member, trial, time)."""
        return self.forecast(params, data, [1])[..., 0]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (member, trial, time, feature)."""
        from cortseq.compiled import threads

        out = np.full((len(params["initial"]), *data.valid.shape, data.n_features), np.nan)
        with threads.single():
            for found, (readout, p) in zip(out, self._members(params, data), strict=True):
                for rows, passed, now in particles.passed(readout, p, data):
                    found[rows, now.time] = passed.seen.expected(now.time, now.predicted)
        return out

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield each member's mixture of every bin, worked out when it is needed."""
        for readout, p in self._members(params, data):
            yield Filtered({}, None, readout, p, data)

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (member, trial, time, horizon) in nats.

        The particles move h bins on; recorded inputs count as known. Their random numbers are fixed, nothing
        depends on `seed`.
        """
        from cortseq.compiled import threads

        known = reached(data, horizons)
        out = np.full((len(params["initial"]), *known.shape), np.nan)
        with threads.single():
            for found, (readout, p) in zip(out, self._members(params, data), strict=True):
                particles.forecast(readout, p, data, horizons, found)
        return np.where(known, out, np.nan)

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw trials of one member, (trial, time, feature); inputs `shape["drive"]` are replayed."""
        readout, data = self._free_run(params, shape, n_trials, n_time)
        offset, n = switching.offsets(params, data), len(params["start_mean"])
        spread, trial = np.linalg.cholesky(params["noise"]), np.arange(n_trials)
        z = switching.start_offsets(params, data)
        z = z + rng.normal(size=z.shape) @ np.linalg.cholesky(params["start_noise"]).T
        drawn = [readout.draw(params, z, None, rng)]
        odds = np.tile(params["initial"], (n_trials, 1))
        for t in range(1, n_time):
            state = draw_rows(odds, rng)
            moved = (params["transition"][state] @ z[..., None])[..., 0] + offset[state, trial, t]
            z = moved + (spread[state] @ rng.normal(size=(n_trials, n, 1)))[..., 0]
            odds = switching.odds(params, state, z)
            drawn.append(readout.draw(params, z, drawn[-1], rng))
        return np.stack(drawn, 1)

    # -- what was learned -----------------------------------------------------------------------------

    def regimes(self, params: Params, data: Data) -> np.ndarray:
        """Return p(s_t = k | the whole trial), (member, trial, time, state); NaN in bin 0 and past the end.

        It is that of the approximation by which the model is learned (`variational`).
        """
        n_states = params["offset"].shape[1]
        out = np.full((len(params["initial"]), *data.valid.shape, n_states), np.nan)
        for found, (readout, p) in zip(out, self._members(params, data), strict=True):
            regimes.segmented(readout, p, data, found)
        return out

    def dynamics(self, params: Params, bin_width: float, member: int = 0) -> list[Dynamics]:
        """Return the map of the latent in each state with the time constants of its modes.

        Parameters
        ----------
        params : of a fit, `fit.params`.
        bin_width : s, `fit.card["bin_width"]`.
        member : which restart.
        """
        return [modes(transition, bin_width) for transition in params["transition"][member]]


@dataclass(frozen=True)
class Filtered(Predictive):
    """The mixtures of the filter, worked out bin by bin when they are needed.

    Attributes
    ----------
    readout, p : the read-out and the parameters of one member.
    data : the trials.
    """

    readout: Readout | None = None
    p: Params | None = None
    data: Data | None = None

    def at(self, trials: slice) -> Filtered:
        """Return the distributions of some trials."""
        assert self.data is not None
        return replace(self, data=self.data.at(trials))

    def cdf(self, emission: Distribution, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each feature on its own, (trial, time, feature), for y of that shape."""
        (found,) = self._means([lambda bins, trial, t: emission.cdf(bins, y[trial, t])])
        return found

    def moments(self, emission: Distribution) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each feature, (trial, time, feature)."""
        first, second = self._means(
            [
                lambda bins, trial, t: emission.mean(bins),
                lambda bins, trial, t: emission.variance(bins) + emission.mean(bins) ** 2,
            ]
        )
        return first, second - first**2

    def _means(self, values: list[Callable[[Params, np.ndarray, int], np.ndarray]]) -> list[np.ndarray]:
        """Return means over the mixtures, each (trial, time, feature), of functions as of `_at`."""
        assert self.readout is not None and self.p is not None and self.data is not None
        out = [np.zeros((*self.data.valid.shape, self.data.n_features)) for _ in values]
        for rows, passed, now in particles.passed(self.readout, self.p, self.data):
            for found, value in zip(out, values, strict=True):
                one = partial(_at, value, rows.start, now.time)
                found[rows, now.time] = passed.seen.mixed(now.time, now.predicted, one)
        return out


def _at(
    value: Callable[[Params, np.ndarray, int], np.ndarray],
    first: int,
    t: int,
    bins: Params,
    trial: np.ndarray,
) -> np.ndarray:
    """Return `value` in bin t for trials that are counted from `first`."""
    return value(bins, trial + first, t)


MODEL = Slds
