"""States of a hidden Markov model in which a signal depends on the bin before."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq.data import Params
from cortseq.observations import gaussian, states
from cortseq.observations.base import MIN_SD


class AutoregressiveStates(gaussian.GaussianStates):
    """z_t = A_k z_{t-1} + b_k + noise of sd_k per channel, standardised; first bins have their own Gaussian.

    Prior: A_k, b_k around the regression over all training bins, sd_k around its residual sd; that regression
    around each channel's own (A diagonal), for few bins say little about a matrix of many channels (Litterman
    1986, J Bus Econ Stat 4:25). Poritz 1982, ICASSP; Hamilton 1989, Econometrica 57:357.
    """

    names = ("start_mean", "start_sd", "dynamics", "offset", "sd")
    default_prior = 500.0  # a matrix per state: much to learn from few bins

    def features(self, y: np.ndarray, valid: np.ndarray, precision: type = float) -> tuple[Any, ...]:
        """Return the features of first bins, and pairs (z_t, z_{t-1}, 1) of all others.

        First bins are (time * trial, 2 channel + 1), pairs (time * trial, 2 channel + 1); y is
        (time, trial, channel).
        """
        z = np.where(valid[..., None], self._standard(y), 0.0)
        follows = valid.copy()
        follows[0] = False
        follows[1:] &= valid[:-1]
        (first,) = super().features(y, valid & ~follows, precision)
        return first, states.with_ones([z, np.roll(z, 1, axis=0)], follows, precision)

    def log_prob(self, p: Params, block: states.Block) -> np.ndarray:
        """Return log p(y_t | y_{t-1}, state) without the constant, (time, trial, state), state by state."""
        out = super().log_prob(p, block).reshape(block.constant.size, -1)
        assert block.pairs is not None
        there = block.pairs[:, -1]
        for k, (theta, sd) in enumerate(zip(_joined(p), p["sd"], strict=True)):
            residual = block.pairs[:, : len(sd)] / sd - block.pairs[:, len(sd) :] @ (theta / sd)
            out[:, k] -= 0.5 * np.einsum("ij,ij->i", residual, residual) + there * np.log(sd).sum()
        return out.reshape(*block.shape, -1)

    def weights(self, p: Params) -> np.ndarray:
        """Return the weights of a first bin's features, (state, 2 channel + 1)."""
        return gaussian.gaussian_weights(p["start_mean"], p["start_sd"])

    def statistics(self, block: states.Block, gamma: np.ndarray) -> Params:
        """Return expected sums, with `gram` (state, row, row), the second moments of pairs."""
        assert block.pairs is not None
        gram = [block.pairs.T @ (g[:, None] * block.pairs) for g in gamma.T]
        return {**super().statistics(block, gamma), "gram": np.stack(gram)}

    def pool(self, sums: Params) -> None:
        """Set `overall` to the regression over all training bins."""
        n, gram = self.n_features, sums["gram"][0]
        own = np.diagonal(gram[n:, :n]) / (np.diagonal(gram[n:, n:])[:n] + 1)
        left = np.diagonal(gram)[:n] - own * np.diagonal(gram[n:, :n])
        diagonal = np.concatenate([np.diag(own), np.zeros((1, n))])
        self.overall = {"theta": diagonal, "variance": (left + 1) / (gram[-1, -1] + 1)}
        theta, sd = self._regress(sums["gram"])
        self.overall = {"theta": theta[0], "variance": sd[0] ** 2}

    def _regress(self, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return theta = [A^T; b] (state, column, channel), sd (state, channel): penalised least squares."""
        n = self.n_features
        yy = np.einsum("kii->ki", gram[:, :n, :n])
        return regressed(gram[:, n:, n:], gram[:, n:, :n], yy, self.prior, self.overall)

    def maximise(self, sums: Params) -> Params:
        """Return the parameters of greatest posterior density, from expected sums."""
        mean, first_sd = gaussian.gaussian_moments(sums["sums"], self.prior)
        theta, sd = self._regress(sums["gram"])
        rows = {"dynamics": theta[:, :-1].swapaxes(1, 2).copy(), "offset": theta[:, -1].copy(), "sd": sd}
        return {"start_mean": mean, "start_sd": first_sd, **rows}

    def log_prior(self, p: Params) -> float:
        """Return the log prior density but for a constant."""
        away = ((_joined(p) - self.overall["theta"]) ** 2).sum(1) + self.overall["variance"]
        own = -0.5 * self.prior * (2 * np.log(p["sd"]) + away / p["sd"] ** 2).sum()
        return float(own) + gaussian.gaussian_prior(p["start_mean"], p["start_sd"], self.prior)

    def expect(self, p: Params, block: states.Block, weight: np.ndarray) -> np.ndarray:
        """Return E[y_t] with states of `weight` (time, trial, state), (time, trial, channel)."""
        assert block.pairs is not None
        weight = weight.reshape(block.constant.size, -1)
        z = (weight * block.features[:, -1:]) @ p["start_mean"]
        for k, theta in enumerate(_joined(p)):
            z += weight[:, k, None] * (block.pairs[:, self.n_features :] @ theta)
        return self._back(z).reshape(*block.shape, -1)

    def observed(self, block: states.Block) -> tuple[np.ndarray, np.ndarray]:
        """Return standardised z (time, trial, channel), 0 where missing; which bins exist (time, trial)."""
        assert block.pairs is not None
        n, f, g = self.n_features, block.features, block.pairs
        return (f[:, :n] + g[:, :n]).reshape(*block.shape, n), (f[:, -1] + g[:, -1]).reshape(block.shape) > 0

    def draw(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw y_t (row, channel) in each state (row,), given y_{t-1}, or None for a first bin."""
        z = None if before is None else self._standard(before)
        return self._back(self.step(p, state, z, rng))

    def step(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw standardised z_t given z_{t-1} (row, channel); where that is NaN, or is None, a first bin."""
        mean, sd = p["start_mean"][state], p["start_sd"][state]
        if before is not None:
            known = ~np.isnan(before[:, :1])
            onward = np.einsum("rij,rj->ri", p["dynamics"][state], before) + p["offset"][state]
            mean, sd = np.where(known, onward, mean), np.where(known, p["sd"][state], sd)
        return np.asarray(rng.normal(mean, sd))

    def log_density(self, p: Params, before: np.ndarray | None, z: np.ndarray) -> np.ndarray:
        """Return log p(z_t | z_{t-1}, state) but for the constant, (row, state); rows are those of `step`."""
        before = np.full(z.shape, np.nan) if before is None else before
        known = ~np.isnan(before[:, 0])
        pairs = states.with_ones([z, before], known)
        first = states.with_ones([z, z**2], ~known)
        rows = np.arange(len(z))
        block = states.Block(rows, rows, lambda: first, np.zeros((1, len(z))), pairs)
        return np.asarray(self.log_prob(p, block)[0])

    def n_free(self) -> int:
        """Return the number of free parameters of a state."""
        return self.n_features * (self.n_features + 4)


def regressed(
    xx: np.ndarray, xy: np.ndarray, yy: np.ndarray, prior: float, overall: Params
) -> tuple[np.ndarray, np.ndarray]:
    """Regress channels y on x in each state, about a regression that is worth `prior` bins.

    Parameters
    ----------
    xx : (state, row, row), xy : (state, row, channel), yy : (state, channel), weighted sums of products; the
        last row of x is 1.
    overall : "theta" (row, channel) and "variance" (channel,) about which the prior is.

    Returns
    -------
    theta : (state, row, channel).
    sd : (state, channel), of the residuals.
    """
    theta0 = overall["theta"]
    theta = np.linalg.solve(xx + prior * np.eye(xx.shape[1]), xy + prior * theta0)
    square = yy - 2 * (theta * xy).sum(1) + (theta * (xx @ theta)).sum(1)
    square = square.clip(0) + prior * (((theta - theta0) ** 2).sum(1) + overall["variance"])
    return theta, np.sqrt(square / (xx[:, -1:, -1] + prior)).clip(MIN_SD)


def _joined(p: Params) -> np.ndarray:
    """Return [A^T; b], (state, column, channel)."""
    return np.concatenate([p["dynamics"].swapaxes(1, 2), p["offset"][:, None]], 1)
