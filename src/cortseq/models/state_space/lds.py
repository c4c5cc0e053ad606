"""Linear dynamical systems: Gaussian signals exactly, counts by an assumed-density filter; learned by EM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.data import Data, Params, check_rates
from cortseq.models.base import Learned, Run
from cortseq.models.horizons import doubled, farthest, forecasts
from cortseq.models.predictive import Predictive
from cortseq.models.state_space import draws, em, latent
from cortseq.models.state_space.base import COMMON, StateSpace
from cortseq.models.state_space.counts import Counts
from cortseq.models.state_space.readout import Readout
from cortseq.models.work import Size, Work

_FEWEST, _MOST = 64, 4096  # draws
_ERROR = 1e-3  # bits per spike that the draws may be away from infinitely many


@dataclass(frozen=True)
class Dynamics:
    """The linear map of a fitted latent, z_t = A z_{t-1} + .., and how fast its modes decay and turn.

    Attributes
    ----------
    transition : (latent, latent), A per bin.
    eigenvalues : (latent,) complex, slowest mode first.
    time_constants : (latent,) s, -bin_width / ln |eigenvalue|; infinite where a mode does not decay.
    frequencies : (latent,) Hz, |angle| / (2 pi bin_width); 0 for a mode that does not turn.
    """

    transition: np.ndarray
    eigenvalues: np.ndarray
    time_constants: np.ndarray
    frequencies: np.ndarray


class Lds(StateSpace):
    """A linear dynamical system: a latent that moves linearly with noise, seen through counts or signals.

        z_t = A z_{t-1} + b + B u_t + w_t,  w_t ~ N(0, Q),     z_0 ~ N(m_0 + B_0 u_0, P_0)
        signals   y_t = C z_t + d + v_t,  v_t ~ N(0, R), R diagonal
        counts    y_tn ~ Poisson(exp(C_n . z_t + d_n)), or another distribution of counts with that mean

    u_t are recorded inputs of the bin itself. Signals are standardised; with `skip` the system describes what
    the bin before leaves of each channel, y_t - D y_{t-1}, as the networks' skip does.

    Signals have an exact likelihood (Kalman 1960, J Basic Eng 82:35), and EM in closed form (Shumway &
    Stoffer 1982, J Time Ser Anal 3:253; Ghahramani & Hinton 1996, Toronto CRG-TR-96-2). Counts are learned by
    EM with Laplace's approximation of the latents (Smith & Brown 2003, Neural Comput 15:965; Macke et al.
    2011, NIPS 24:1350). Their prediction is

        p(y_t | y_<t) = (1/M) sum_i prod_n p(y_tn; exp(C_n . z_i + d_n)),    z_i = m_t + L_t x_i

    with m_t and L_t L_t' = P_t from an assumed-density filter, and M fixed points x_i (`draws`). It is
    normalised for every M, and joint over units, which share the latent. M is doubled until the score of the
    validation trials is less than .001 bits/spike from that of infinitely many points (card: `draw_error`).

    EM begins with principal components and keeps the iterate with the best validation likelihood. Estimates
    are maxima a posteriori under priors that are worth `prior` bins.
    """

    called: ClassVar = "a linear dynamical system"
    family: Literal["lds"] = "lds"

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Run EM from principal components; see `Model.learn`."""
        from cortseq.compiled import threads

        check_rates(train)
        with threads.single():
            readout = self.readout(train)
            readout.measure(train)
            if train.kind.has_events:
                readout.common["points"] = draws.points(_FEWEST, self.latents)
            p, curves, card = em.climb(self, readout, (train, valid), run)
            if train.kind.has_events:
                readout.common["points"], error = _enough(readout, p, valid, self.latents)
                card |= {"draws": len(readout.common["points"]), "draw_error": float(error)}
                run.progress(f"lds draws {card['draws']}: {error:.5f} bits/spike from infinitely many")
        n, n_inputs = self.latents, train.n_inputs
        law = n * n + n * (n + 1) + 2 * n + 2 * n * n_inputs
        n_free = law + readout.n_free(n) - n * n - n  # a change of basis and of origin changes nothing
        params = {k: v[None] for k, v in (p | readout.common).items()}
        return Learned(params, n_free, curves, {**card, "settings_tried": 1})

    def work(self, size: Size) -> Work:
        """Return the arithmetic of one iteration; how many there are depends on the recording."""
        return em.arithmetic(self.latents, size)

    def _member(self, params: Params, data: Data) -> tuple[Readout, Params]:
        p = {k: v[0] for k, v in params.items()}
        readout = self.readout(data)
        readout.common = {k: p[k] for k in COMMON if k in p}
        return readout, p

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (1, trial, time)."""
        return self.forecast(params, data, [1])[..., 0]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (1, trial, time, feature)."""
        readout, p = self._member(params, data)
        return readout.expected(p, data, readout.filtered(p, data).predicted)[None]

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield the distribution of every bin: each channel's Gaussian, or the mixture over the draws."""
        readout, p = self._member(params, data)
        yield readout.predictive(p, data, readout.filtered(p, data).predicted)

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (1, trial, time, horizon) in nats.

        The Gaussian of the latent is pushed h bins on; recorded inputs count as known. Signals: exact.
        Counts: the mixture over the same points as one bin ahead, under the same approximation of the
        filter; nothing depends on `seed`.
        """
        from cortseq.compiled import threads

        readout, p = self._member(params, data)
        deepest = farthest(horizons)
        with threads.single():
            found = readout.forecasts(p, data, deepest)
        return forecasts(data, horizons, lambda h: found[h - 1])

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw trials of one member, (trial, time, feature); inputs `shape["drive"]` are replayed."""
        readout, data = self._free_run(params, shape, n_trials, n_time)
        offset = latent.offsets(params, data)
        drawn: list[np.ndarray] = []
        spread = np.linalg.cholesky(params["start_noise"]), np.linalg.cholesky(params["noise"])
        z = np.zeros((n_trials, len(params["offset"])))
        for t in range(n_time):
            noise = rng.normal(size=z.shape) @ spread[min(t, 1)].T
            z = z @ params["transition"].T + offset[:, t] + noise
            drawn.append(readout.draw(params, z, drawn[-1] if drawn else None, rng))
        return np.stack(drawn, 1)

    def dynamics(self, params: Params, bin_width: float, member: int = 0) -> Dynamics:
        """Return the map of the latent with the time constants of its modes.

        Parameters
        ----------
        params : of a fit, `fit.params`.
        bin_width : s, `fit.card["bin_width"]`.
        member : which restart; this family has one.
        """
        return modes(params["transition"][member], bin_width)


def modes(transition: np.ndarray, bin_width: float) -> Dynamics:
    """Return what a map (latent, latent) does to the latent, with bins of `bin_width` seconds."""
    values = np.linalg.eigvals(transition).astype(complex)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    with np.errstate(divide="ignore"):
        decay = -np.log(np.abs(values))
        constants = np.where(decay > 0, bin_width / np.where(decay > 0, decay, 1.0), np.inf)
    return Dynamics(transition, values, constants, np.abs(np.angle(values)) / (2 * np.pi * bin_width))


def _enough(readout: Readout, p: Params, valid: Data, n_latents: int) -> tuple[np.ndarray, float]:
    """Return enough draws for an error below _ERROR bits/spike, and their error."""
    assert isinstance(readout, Counts)
    belief, n = readout.filtered(p, valid).predicted, _FEWEST
    events = max(1, int(valid.n_events().sum()))
    while True:
        points = draws.points(n, n_latents)
        halves = readout.log_prob(p | {"points": points}, valid, belief, halves=True)
        error = float(np.nansum(doubled(*halves)[1])) / events / np.log(2)
        if error < _ERROR or n >= _MOST:
            return points, error
        n *= 2


MODEL = Lds
