"""Penalised regression with a canonical link on fixed features, all outputs at once; numpy only.

    minimise  (1 / n) sum_t loss(eta_t, y_t) + 0.5 penalty |W - W_0|^2,   eta_t = b + W x_t,   b free

Features are centred and rotated to the eigenbasis of their covariance, where the Hessian of every output is
close to (mean variance) * eigenvalue + penalty: the preconditioner of a nonlinear conjugate gradient
(Polak-Ribiere+). Outputs of a separable loss have each their own step lengths, and rest when they have
converged. For the squared loss the preconditioner is the inverse Hessian: one step is the closed form.
Arrays are (output, bin), so that an output is contiguous.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy

import numpy as np

from cortseq.observations.base import Loss

_MOST_STEPS = 1000
_NEGLIGIBLE = 1e-12  # of the largest eigenvalue: directions in which features do not vary
_HALVINGS = 40


def path(
    loss: Loss,
    features: np.ndarray,
    y: np.ndarray,
    penalties: Iterable[float],
    tolerance: float = 0.05,
    origin: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights (output, feature) and intercepts (output,) per penalty, each warm-starting the next.

    `features` (bin, feature), `y` (output, bin), penalties per bin. `tolerance`: nats of the whole sum that
    an output may still gain, as the preconditioner estimates it. `origin`: W_0 and the intercepts to start
    from (default: zero, the constant prediction).
    """
    problem = _Problem(loss, features, y)
    origin = origin or (np.zeros((len(y), features.shape[1])), loss.start(y))
    problem.origin = theta = problem.rotated(*origin)
    for penalty in penalties:
        theta = problem.minimise(theta, penalty, tolerance)
        yield problem.original(theta)


class _Problem:
    """The data in the eigenbasis; parameters theta (output, 1 + direction), the intercept first."""

    def __init__(self, loss: Loss, features: np.ndarray, y: np.ndarray):
        self.loss, self.y, self.variance = loss, y, loss.variance(y)
        self.centre = features.mean(0)
        covariance = features.T @ features / len(features) - np.outer(self.centre, self.centre)
        values, vectors = np.linalg.eigh(covariance)
        keep = values > _NEGLIGIBLE * np.trace(covariance)
        self.rotation = vectors[:, keep]
        self.eigenvalues = np.append(1.0, values[keep])
        self.z = np.ones((len(features), 1 + keep.sum()))
        np.matmul(features, self.rotation, out=self.z[:, 1:])
        self.z[:, 1:] -= self.centre @ self.rotation
        self.origin = np.zeros((len(y), self.z.shape[1]))

    def rotated(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return np.hstack([(bias + weight @ self.centre)[:, None], weight @ self.rotation])

    def original(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts of features as given; what tied outputs share predicts nothing: removed."""
        theta = theta if self.loss.separable else theta - theta.mean(0)
        weight = theta[:, 1:] @ self.rotation.T
        return weight, theta[:, 0] - weight @ self.centre

    def minimise(self, theta: np.ndarray, penalty: float, tolerance: float) -> np.ndarray:
        """Conjugate gradients from `theta`; outputs that have converged rest."""
        found, running = theta.copy(), np.arange(len(theta))
        ridge = np.append(0.0, np.full(theta.shape[1] - 1, penalty))
        point = _Point(self, self.y, theta, self.origin, ridge)
        trail: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        for _ in range(_MOST_STEPS):
            gradient = point.gradient()
            step = -gradient / (self.variance[running, None] * self.eigenvalues + ridge)
            gain = -self._total(gradient * step)
            going = 0.5 * gain * len(self.z) > tolerance
            if not going.any():
                break
            if not going.all():
                found[running] = point.theta
                running, point = running[going], point.part(going)
                gradient, step, gain = gradient[going], step[going], gain[going]
                trail = trail and (trail[0][going], trail[1][going], trail[2][going])
            direction = step if trail is None else step + self._turn(gradient, step, *trail)
            slope = self._total(gradient * direction)
            direction = np.where(slope[:, None] < 0, direction, step)
            trail = gradient, gain, direction
            point.move(direction, np.where(slope < 0, slope, -gain))
        found[running] = point.theta
        return found

    def _turn(
        self,
        gradient: np.ndarray,
        step: np.ndarray,
        gradient_before: np.ndarray,
        gain_before: np.ndarray,
        direction_before: np.ndarray,
    ) -> np.ndarray:
        """Return what conjugate gradients keep of the direction before (Polak-Ribiere, never negative)."""
        beta = -self._total((gradient - gradient_before) * step) / gain_before
        return np.asarray(np.maximum(beta, 0)[:, None] * direction_before)

    def _total(self, product: np.ndarray) -> np.ndarray:
        """Sum over parameters, (output,): of each output, or of all where the loss ties them."""
        sums = product.sum(1)
        return sums if self.loss.separable else np.full_like(sums, sums.sum())


class _Point:
    """Where the descent stands: parameters, what they predict, and the objective per bin, (output,)."""

    def __init__(
        self, problem: _Problem, y: np.ndarray, theta: np.ndarray, origin: np.ndarray, ridge: np.ndarray
    ) -> None:
        self.problem, self.y, self.origin, self.ridge = problem, y, origin, ridge
        self._set(theta, theta @ problem.z.T)

    def _set(self, theta: np.ndarray, eta: np.ndarray) -> None:
        self.theta, self.eta, self.mean = theta, eta, self.problem.loss.mean(eta)
        data = self.problem.loss.value(eta, self.mean, self.y) / eta.shape[1]
        self.value = data + 0.5 * self.problem._total(self.ridge * (theta - self.origin) ** 2)

    def part(self, going: np.ndarray) -> _Point:
        """Return the outputs that go on: nothing is worked out again."""
        part = copy(self)
        for name in ("y", "theta", "origin", "eta", "mean", "value"):
            setattr(part, name, getattr(self, name)[going])
        return part

    def gradient(self) -> np.ndarray:
        data = (self.mean - self.y) @ self.problem.z / self.eta.shape[1]
        return np.asarray(data + self.ridge * (self.theta - self.origin))

    def move(self, direction: np.ndarray, slope: np.ndarray) -> None:
        """Take a Newton step along `direction`, halved where it does not lower the objective."""
        theta, eta, value = self.theta, self.eta, self.value
        change = direction @ self.problem.z.T
        curvature = self.problem.loss.curvature(self.mean, change) / eta.shape[1]
        length = -slope / (curvature + self.problem._total(self.ridge * direction**2))
        for _ in range(_HALVINGS):
            self._set(theta + length[:, None] * direction, eta + length[:, None] * change)
            high = ~(self.value <= value + 1e-4 * length * slope)
            if not high.any():
                return
            length = np.where(high, 0.5 * length, length)
        keep = high[:, None]
        self._set(np.where(keep, theta, self.theta), np.where(keep, eta, self.eta))
