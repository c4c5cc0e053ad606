"""The latent of a linear dynamical system: its law, its beliefs, and the M-step of its parameters.

    z_t = A z_{t-1} + b + B u_t + w_t,  w_t ~ N(0, Q),    z_0 ~ N(m_0 + B_0 u_0, P_0)

Parameters of one member: "transition" A, "offset" b, "drive" B (latent, input), "noise" Q, and of the first
bin "start_mean" m_0, "start_drive" B_0, "start_noise" P_0. Inputs act in their own bin, as in every family.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortseq._lazy import lazy
from cortseq.data import Data, Params

kalman = lazy("cortseq.models.state_space.kalman")  # it brings the compiler

NAMES = ("transition", "offset", "drive", "noise", "start_mean", "start_drive", "start_noise")


@dataclass(frozen=True)
class Belief:
    """Gaussians of the latent of every bin.

    Attributes
    ----------
    mean : (trial, time, latent).
    covariance : (row, time, latent, latent).
    row : (trial,), the row of each trial.
    """

    mean: np.ndarray
    covariance: np.ndarray
    row: np.ndarray

    def shifted(self, p: Params, offset: np.ndarray) -> Belief:
        """Return p(z_t | y_0 .. y_{t-h-1}) where this is p(z_t | y_0 .. y_{t-h}); NaN in bin 0.

        `offset` (trial, time, latent) as of `offsets`.
        """
        mean, covariance = np.full_like(self.mean, np.nan), np.full_like(self.covariance, np.nan)
        mean[:, 1:] = self.mean[:, :-1] @ p["transition"].T + offset[:, 1:]
        covariance[:, 1:] = p["transition"] @ self.covariance[:, :-1] @ p["transition"].T + p["noise"]
        return Belief(mean, covariance, self.row)


@dataclass(frozen=True)
class Evidence:
    """What bins say about their latents: factors exp(h . z - z . J z / 2).

    Attributes
    ----------
    info : (n, latent, latent), the different J.
    which : (row, time), which of them a bin has; -1: it says nothing.
    given : (trial, time, latent), h.
    row : (trial,), the row of each trial.
    """

    info: np.ndarray
    which: np.ndarray
    given: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class Filtered:
    """Beliefs before and after each bin, and log |I + P_t J_t| (row, time)."""

    predicted: Belief
    updated: Belief
    log_det: np.ndarray


@dataclass(frozen=True)
class Posterior:
    """The latents given all bins of their trials.

    Attributes
    ----------
    belief : p(z_t | all y).
    gain : (row, time - 1, latent, latent), G_t: Cov[z_t, z_{t+1} | all y] = G_t Cov[z_{t+1} | all y].
    log_prob : log p(y) of all trials, nats; of counts its Laplace approximation.
    """

    belief: Belief
    gain: np.ndarray
    log_prob: float


def offsets(p: Params, data: Data) -> np.ndarray:
    """Return what moves the latent beside A, (trial, time, latent): b + B u_t, in bin 0 m_0 + B_0 u_0."""
    out = np.empty((*data.valid.shape, len(p["offset"])))
    out[:], out[:, 0] = p["offset"], p["start_mean"]
    if data.inputs is not None:
        u = np.nan_to_num(data.inputs)
        out[:, 1:] += u[:, 1:] @ p["drive"].T
        out[:, 0] += u[:, 0] @ p["start_drive"].T
    return out


def filtered(p: Params, evidence: Evidence, offset: np.ndarray) -> Filtered:
    """Pass forwards over all trials.

    Parameters
    ----------
    p : parameters of one member.
    evidence : of every bin.
    offset : (trial, time, latent), as of `offsets`.
    """
    law = p["transition"], p["noise"], p["start_noise"]
    predicted, updated, log_det = kalman.covariances(*law, evidence.info, evidence.which)
    given = evidence.info, evidence.which, evidence.given, evidence.row
    before, after = kalman.means(p["transition"], offset, updated, *given)
    row = evidence.row
    return Filtered(Belief(before, predicted, row), Belief(after, updated, row), log_det)


def smoothed_means(p: Params, passed: Filtered) -> tuple[np.ndarray, np.ndarray]:
    """Return E[z_t | all y] (trial, time, latent) and the gains (row, time - 1, latent, latent)."""
    before, after = passed.predicted, passed.updated
    gain = kalman.gains(p["transition"], before.covariance, after.covariance)
    return kalman.smoothed_means(before.mean, after.mean, gain, before.row), gain


def smoothed(p: Params, passed: Filtered, log_prob: float) -> Posterior:
    """Pass backwards over all trials: their latents given all bins."""
    mean, gain = smoothed_means(p, passed)
    covariance = kalman.smoothed_covariances(passed.predicted.covariance, passed.updated.covariance, gain)
    return Posterior(Belief(mean, covariance, passed.predicted.row), gain, log_prob)


def log_prior_density(p: Params, z: np.ndarray, offset: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return log p(z) of paths z (trial, time, latent) but for a constant, (trial,) nats."""
    first = z[:, 0] - offset[:, 0]
    steps = z[:, 1:] - z[:, :-1] @ p["transition"].T - offset[:, 1:]
    steps = np.where((np.arange(1, z.shape[1]) < lengths[:, None])[..., None], steps, 0.0)
    start = np.einsum("ri,ri->r", first, np.linalg.solve(p["start_noise"], first.T).T)
    moved = (steps.reshape(-1, z.shape[2]) @ np.linalg.inv(p["noise"])).reshape(steps.shape)
    return np.asarray(-0.5 * (start + np.einsum("rti,rti->r", steps, moved)))


# -- M-step ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums:
    """Expected sums of products of a regression of z (latent) on x (column), the last column of x being 1."""

    xx: np.ndarray
    xz: np.ndarray
    zz: np.ndarray
    n: float

    def regressed(self, prior: float, variance: float) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (column, latent) and noise (latent, latent) of greatest posterior density.

        The prior is a normal-inverse-Wishart density worth `prior` bins: weights about 0, noise about
        `variance` times the identity.
        """
        theta = np.linalg.solve(self.xx + prior * np.eye(len(self.xx)), self.xz)
        square = self.zz - self.xz.T @ theta - theta.T @ self.xz + theta.T @ self.xx @ theta
        square = square + prior * (theta.T @ theta + variance * np.eye(len(self.zz)))
        noise = square / (self.n + prior)
        return theta, 0.5 * (noise + noise.T)


def log_prior_regression(theta: np.ndarray, noise: np.ndarray, prior: float, variance: float) -> float:
    """Return the log density of the prior of `Sums.regressed` but for a constant.

    theta (column, latent), noise (latent, latent).
    """
    scatter = theta.T @ theta + variance * np.eye(len(noise))
    log_det = np.linalg.slogdet(noise)[1]
    return float(-0.5 * prior * (log_det + np.trace(np.linalg.solve(noise, scatter))))


def sums(posterior: Posterior, data: Data) -> tuple[Sums, Sums]:
    """Return the sums of the regression of z_t on (z_{t-1}, u_t, 1), and of that of z_0 on (u_0, 1)."""
    z, covariance, row = posterior.belief.mean, posterior.belief.covariance, posterior.belief.row
    live = np.arange(z.shape[1]) < data.lengths[:, None]
    u = np.zeros((*data.valid.shape, 0)) if data.inputs is None else np.nan_to_num(data.inputs)
    known = np.concatenate([u, np.ones((*u.shape[:2], 1))], -1)
    weight = np.zeros(covariance.shape[:2])  # trials that a covariance stands for
    np.add.at(weight, row, live.astype(float))
    n = z.shape[2]

    def spread(chosen: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("ut,utij->ij", chosen, of, optimize=True))

    moves = live[:, 1:]
    x = np.concatenate([z[:, :-1], known[:, 1:]], -1)[moves]
    after = z[:, 1:][moves]
    xx, xz, zz = x.T @ x, x.T @ after, after.T @ after
    xx[:n, :n] += spread(weight[:, 1:], covariance[:, :-1])
    xz[:n] += spread(weight[:, 1:], posterior.gain @ covariance[:, 1:])
    zz += spread(weight[:, 1:], covariance[:, 1:])
    begun = live[:, 0]
    first, z0 = known[:, 0][begun], z[:, 0][begun]
    start = z0.T @ z0 + spread(weight[:, :1], covariance[:, :1])
    return Sums(xx, xz, zz, float(len(x))), Sums(first.T @ first, first.T @ z0, start, float(len(z0)))


def law(theta: np.ndarray, noise: np.ndarray, theta0: np.ndarray, noise0: np.ndarray) -> Params:
    """Return parameters from the two regressions of `sums`, weights (column, latent) and noise."""
    n = len(noise)
    return {
        "transition": theta[:n].T.copy(),
        "drive": theta[n:-1].T.copy(),
        "offset": theta[-1].copy(),
        "noise": noise,
        "start_drive": theta0[:-1].T.copy(),
        "start_mean": theta0[-1].copy(),
        "start_noise": noise0,
    }


def regressions(p: Params) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what `law` takes: weights (column, latent) and noise (latent, latent), then those of bin 0."""
    theta = np.concatenate([p["transition"], p["drive"], p["offset"][:, None]], 1).T
    theta0 = np.concatenate([p["start_drive"], p["start_mean"][:, None]], 1).T
    return theta, p["noise"], theta0, p["start_noise"]


def in_basis(p: Params, change: np.ndarray, origin: np.ndarray) -> Params:
    """Return the same model for latents z' = T (z - o).

    Parameters
    ----------
    p : parameters of one member.
    change : T, (latent, latent).
    origin : o, (latent,).
    """
    back = np.linalg.inv(change)
    moved = {name: change @ p[name] for name in ("drive", "start_drive")}
    moved["offset"] = change @ (p["offset"] - origin + p["transition"] @ origin)
    moved["start_mean"] = change @ (p["start_mean"] - origin)
    spread = {name: change @ p[name] @ change.T for name in ("noise", "start_noise")}
    spread = {name: 0.5 * (v + v.T) for name, v in spread.items()}
    level = p["level"] + p["loading"] @ origin
    both = {"transition": change @ p["transition"] @ back, "loading": p["loading"] @ back, "level": level}
    return p | moved | spread | both


def pooled(parts: list[tuple[Data, Posterior]]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (latent,) and covariance (latent, latent) of the latents over all valid bins."""
    square, total, n = 0.0, 0.0, 0
    for data, posterior in parts:
        belief = posterior.belief
        z = belief.mean[data.valid]
        weight = np.zeros(belief.covariance.shape[:2])
        np.add.at(weight, belief.row, data.valid.astype(float))
        square = square + z.T @ z + np.einsum("ut,utij->ij", weight, belief.covariance, optimize=True)
        total, n = total + z.sum(0), n + len(z)
    mean = np.asarray(total / n)
    return mean, np.asarray(square / n - np.outer(mean, mean))
