"""The E-step and M-step of a switching linear dynamical system: states and latents as if independent.

    p(s, z | y) ~ q(s) q(z)

q(s) is a Markov chain and q(z) a Gaussian over whole trials; each is the best there is while the other is
held (Ghahramani & Hinton 2000, Neural Comput 12:831). Under q(s) the latent has a block-tridiagonal
precision with expected A_k, Q_k, under q(z) the states have the expected log-densities of each step. What
is climbed is a bound of log p(y). It is exact where the latents are known given the recording.

For counts, and where the latent decides on the next state, q(z) is Laplace's approximation about its
likeliest path, and the odds of states are taken there (Zoltowski, Pillow & Linderman 2020, ICML 119:11403).
The bound is then approximate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.models.hmm import tilt
from cortseq.models.state_space import assumed, latent, switching
from cortseq.models.state_space.latent import Belief, Posterior, Sums
from cortseq.models.state_space.readout import Readout
from cortseq.observations.gaussian import LOG_2PI

forward_backward = lazy("cortseq.models.hmm.forward_backward")  # these bring the compiler
tridiagonal = lazy("cortseq.models.state_space.tridiagonal")
_ENOUGH = 1e-2  # nats of a trial: a step of the search for a path that is not worth another
_RIDGE = 1.0  # precision of the density of R, for latents of variance 1


@dataclass(frozen=True)
class Chain:
    """q(s) of some trials; a move t leads from bin t to bin t + 1.

    Attributes
    ----------
    gamma : (move, trial, state), probabilities; 0 past the end of a trial.
    moves : (from, to), expected number of each of two moves in a row.
    log_prob : log of the sum over all sequences, nats.
    """

    gamma: np.ndarray
    moves: np.ndarray
    log_prob: float


@dataclass(frozen=True)
class Hidden:
    """What an E-step found of some trials: q(z), q(s), and the bound of log p(y) in nats."""

    data: Data
    posterior: Posterior
    chain: Chain

    @property
    def bound(self) -> float:
        """The bound of log p(y), nats."""
        return self.posterior.log_prob + self.chain.log_prob


def known(posterior: Posterior) -> Posterior:
    """Return a posterior whose trials all have covariances of their own."""
    row = posterior.belief.row
    belief = Belief(posterior.belief.mean, posterior.belief.covariance[row], np.arange(len(row)))
    return replace(posterior, belief=belief, gain=posterior.gain[row])


def expected(readout: Readout, p: Params, data: Data, gamma: np.ndarray, z: np.ndarray) -> Hidden:
    """Return q(z) given q(s), then q(s) given q(z).

    Parameters
    ----------
    gamma : (move, trial, state), of the q(s) before.
    z : (trial, time, latent), where the search for the likeliest path begins.
    """
    posterior = latents(readout, p, data, gamma, z)
    return Hidden(data, posterior, states(p, data, posterior))


# -- states ------------------------------------------------------------------------------------------


def states(p: Params, data: Data, posterior: Posterior) -> Chain:
    """Return q(s) given q(z)."""
    log_b = step_density(p, data, posterior)
    if not len(log_b):
        return Chain(log_b, np.zeros(p["switch"].shape), 0.0)
    length, turned = data.lengths - 1, np.ascontiguousarray(p["switch"].T)
    if switching.is_recurrent(p):
        w = tilts(p, posterior)
        ratio, belief, log_prob = forward_backward.forward_tilted(log_b, length, p["initial"], p["switch"], w)
        gamma = forward_backward.backward_tilted(belief, ratio, length, turned, w)
        belief[:-1] /= w[1:] @ turned
        ratio *= w
    else:
        ratio, belief, log_prob = forward_backward.forward(log_b, length, p["initial"], p["switch"])
        gamma = forward_backward.backward(belief, ratio, length, turned)
    n = gamma.shape[-1]
    moves = p["switch"] * (belief[:-1].reshape(-1, n).T @ ratio[1:].reshape(-1, n))
    return Chain(gamma, moves, float(log_prob.sum()))


def tilts(p: Params, posterior: Posterior) -> np.ndarray:
    """Return exp(R_k . z) of the bin that each move leaves, the largest being 1, (move, trial, state)."""
    z = posterior.belief.mean[:, :-1].swapaxes(0, 1)
    return tilt.tilts(z.reshape(-1, z.shape[2]), p["pull"].T)[0].reshape(*z.shape[:2], -1)


def step_density(p: Params, data: Data, posterior: Posterior) -> np.ndarray:
    """Return E[ln N(z_t; A_k z_{t-1} + b_k + B_k u_t, Q_k)] under q(z), (move, trial, state) nats."""
    mean, covariance = posterior.belief.mean, posterior.belief.covariance
    n_trials, n_time, n = mean.shape
    after, before = (c.reshape(-1, n * n) for c in (covariance[:, 1:], covariance[:, :-1]))
    between = (posterior.gain @ covariance[:, 1:]).reshape(-1, n * n)
    offset, out = switching.offsets(p, data), np.empty((n_time - 1, n_trials, len(p["offset"])))
    for k, (a, noise) in enumerate(zip(p["transition"], p["noise"], strict=True)):
        precision = np.linalg.inv(noise)
        away = mean[:, 1:] - mean[:, :-1] @ a.T - offset[k, :, 1:]
        square = ((away @ precision) * away).sum(-1).ravel() + after @ precision.ravel()
        square += before @ (a.T @ precision @ a).ravel() - 2 * between @ (precision @ a).T.ravel()
        constant = np.linalg.slogdet(noise)[1] + n * LOG_2PI
        out[..., k] = -0.5 * (square + constant).reshape(n_trials, n_time - 1).T
    return out


# -- latents -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """Log-density of paths under q(s), but for constants: l . z - z . D z / 2 - z_t . O_t z_{t+1}.

    Arrays as of `tridiagonal.solved`.
    """

    diagonal: np.ndarray
    beside: np.ndarray
    linear: np.ndarray

    def density(self, z: np.ndarray) -> np.ndarray:
        """Return the log-density of paths z (trial, time, latent), (trial,)."""
        own = (self.diagonal @ z[..., None])[..., 0]
        next_one = (self.beside @ z[:, 1:, :, None])[..., 0]
        joint = ((self.linear - 0.5 * own) * z).sum((1, 2))
        return np.asarray(joint - (z[:, :-1] * next_one).sum((1, 2)))


def law(p: Params, data: Data, gamma: np.ndarray) -> Law:
    """Return the law of paths given q(s), gamma (move, trial, state)."""
    offset, g = switching.offsets(p, data), gamma.swapaxes(0, 1)
    precision = np.linalg.inv(p["noise"])
    turned = p["transition"].swapaxes(1, 2) @ precision
    n_trials, n_time, n = offset.shape[1:]
    diagonal, linear = np.zeros((n_trials, n_time, n, n)), np.zeros((n_trials, n_time, n))
    diagonal[:, 1:] += np.tensordot(g, precision, 1)
    diagonal[:, :-1] += np.tensordot(g, turned @ p["transition"], 1)
    for k in range(g.shape[2]):
        pushed = g[..., k, None] * offset[k, :, 1:]
        linear[:, 1:] += pushed @ precision[k]
        linear[:, :-1] -= pushed @ turned[k].T
    first = np.linalg.inv(p["start_noise"])
    diagonal[:, 0] += first
    linear[:, 0] += switching.start_offsets(p, data) @ first
    past = np.arange(n_time) >= np.maximum(data.lengths, 1)[:, None]
    diagonal[past] = np.eye(n)  # bins after the end of a trial: anything that stands alone
    return Law(diagonal, np.tensordot(-g, turned, 1), linear)


def latents(readout: Readout, p: Params, data: Data, gamma: np.ndarray, z: np.ndarray) -> Posterior:
    """Return q(z) given q(s); its `log_prob` is E[log p(y | z) + log p(z_0)] and the entropy of q(z), nats.

    gamma (move, trial, state) of q(s); z (trial, time, latent), where the search for a path begins.
    """
    given, is_exact = law(p, data, gamma), not switching.is_recurrent(p) and readout.is_gaussian
    value = _joint(readout, p, data, gamma, given, z)
    for _ in range(assumed.STEPS):
        info, toward = _factors(readout, p, data, gamma, z)
        mean, covariance, gain, log_det = tridiagonal.solved(
            given.diagonal + info, given.beside, given.linear + toward
        )
        before, length = value, np.ones((len(z), 1, 1))
        for _ in range(1 if is_exact else assumed.HALVINGS):
            moved = z + length * (mean - z)
            value = _joint(readout, p, data, gamma, given, moved)
            lower = ~(value >= before - assumed.ROUNDING * np.abs(before))
            if not lower.any():
                break
            length[lower] *= 0.5
        z = moved if is_exact else np.where(lower[:, None, None], z, moved)
        if is_exact or (value - before).mean() < _ENOUGH:
            break
    belief = Belief(z, covariance, np.arange(len(z)))
    seen = data.valid * readout.given(p, data, z)
    curved = readout.factors(p, data, z)[0]
    spread = 0.5 * (curved * covariance).sum()
    bound = float(seen.sum() - spread + _first(p, data, belief) + _entropy(data, log_det, z.shape[2]))
    return Posterior(belief, gain, bound)


def _joint(
    readout: Readout, p: Params, data: Data, gamma: np.ndarray, given: Law, z: np.ndarray
) -> np.ndarray:
    """Return log p(y, z) under q(s) but for constants, (trial,)."""
    value = (data.valid * readout.given(p, data, z)).sum(1) + given.density(z)
    if switching.is_recurrent(p):
        logits, _ = _logits(p, z)
        top = logits.max(-1, keepdims=True)
        total = np.log(np.exp(logits - top) @ p["switch"].T) + top
        left, entered = _pairs(gamma)
        value += (entered * logits).sum((1, 2)) - (left * total).sum((1, 2))
    return np.asarray(value)


def _logits(p: Params, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R_k . z of the bins whose latent decides on the next state, and p(to | from) there.

    They are (trial, time - 2, state) and (trial, time - 2, from, to).
    """
    logits = z[:, 1:-1] @ p["pull"].T
    odds = p["switch"] * np.exp(logits - logits.max(-1, keepdims=True))[..., None, :]
    return logits, odds / odds.sum(-1, keepdims=True)


def _pairs(gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of the states that decisions leave and enter, (trial, time - 2, state).

    They are 0 past the end of a trial.
    """
    left, entered = (g.swapaxes(0, 1) for g in (gamma[:-1], gamma[1:]))
    return left * (entered.sum(-1, keepdims=True) > 0), entered


def _factors(
    readout: Readout, p: Params, data: Data, gamma: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return J (trial, time, latent, latent) and h (trial, time, latent) of bins and of decisions at z."""
    info, given = readout.factors(p, data, z)
    if not switching.is_recurrent(p):
        return info, given
    pull, odds = p["pull"], _logits(p, z)[1]
    left, entered = _pairs(gamma)
    mean = np.einsum("rtj,rtjk->rtk", left, odds)
    curvature = -np.einsum("rtj,rtjk,rtjl->rtkl", left, odds, odds, optimize=True)
    curvature += mean[..., None] * np.eye(len(pull))
    own = pull.T @ curvature @ pull
    info[:, 1:-1] += own
    given[:, 1:-1] += (entered - mean) @ pull + (own @ z[:, 1:-1, :, None])[..., 0]
    return info, given


def _first(p: Params, data: Data, belief: Belief) -> float:
    """Return E[ln p(z_0)], nats."""
    precision = np.linalg.inv(p["start_noise"])
    away = belief.mean[:, 0] - switching.start_offsets(p, data)
    square = ((away @ precision) * away).sum() + (belief.covariance[:, 0] * precision).sum()
    constant = np.linalg.slogdet(p["start_noise"])[1] + len(precision) * LOG_2PI
    return float(-0.5 * (square + len(away) * constant))


def _entropy(data: Data, log_det: np.ndarray, n: int) -> float:
    """Return the entropy of q(z), nats, without the bins after the end of a trial."""
    return float(0.5 * (n * (1 + LOG_2PI) * np.maximum(data.lengths, 1).sum() - log_det.sum()))


# -- M-step ------------------------------------------------------------------------------------------


def sums(part: Hidden) -> tuple[list[Sums], Sums]:
    """Return the sums of the regressions of z_t on (z_{t-1}, u_t, 1) of each state, and that of bin 0."""
    z, covariance = part.posterior.belief.mean, part.posterior.belief.covariance
    n, data = z.shape[2], part.data
    u = np.zeros((*data.valid.shape, 0)) if data.inputs is None else np.nan_to_num(data.inputs)
    x = np.concatenate([z[:, :-1], u[:, 1:], np.ones((*z[:, 1:].shape[:2], 1))], -1)
    between = part.posterior.gain @ covariance[:, 1:]
    flat, after = x.reshape(-1, x.shape[2]), z[:, 1:].reshape(-1, n)
    spreads = [c.reshape(-1, n * n) for c in (covariance[:, :-1], between, covariance[:, 1:])]
    found = []
    for k in range(part.chain.gamma.shape[2]):
        g = np.ascontiguousarray(part.chain.gamma[..., k].T).ravel()
        weighed = g[:, None] * flat
        xx, xz, zz = weighed.T @ flat, weighed.T @ after, (g[:, None] * after).T @ after
        own, crossed, later = ((g @ spread).reshape(n, n) for spread in spreads)
        xx[:n, :n] += own
        xz[:n] += crossed
        found.append(Sums(xx, xz, zz + later, float(g.sum())))
    return found, latent.sums(part.posterior, data)[1]


def chain(p: Params, parts: list[Hidden]) -> Params:
    """Return pi, T and R of greater expected log posterior density, the prior being a pseudo-count a row."""
    n = len(p["initial"])
    initial = np.sum([part.chain.gamma[:1].sum((0, 1)) for part in parts], 0) + 1 / n
    moves = np.sum([part.chain.moves for part in parts], 0) + 1 / n
    found = {"initial": initial / initial.sum(), "switch": moves / moves.sum(1, keepdims=True)}
    if not switching.is_recurrent(p):
        return found
    bins, total = [], np.zeros(p["pull"].T.shape)
    for part in parts:
        u = part.posterior.belief.mean[:, 1:-1].reshape(-1, total.shape[0])
        left, entered = (g.reshape(-1, n) for g in _pairs(part.chain.gamma))
        total += u.T @ entered
        bins.append((u, left))
    given = tilt.Weighed(moves, np.ones(n), total, bins, _RIDGE, np.zeros_like(total))
    switch, drive = tilt.ascend(p["switch"], p["pull"].T, given, 2)
    return found | {"switch": switch, "pull": np.ascontiguousarray(drive.T)}
