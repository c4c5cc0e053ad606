"""Penalised regression with a canonical link on fixed features, all outputs at once; numpy only.

    minimise  (1 / n) sum_t loss(eta_t, y_t) + 0.5 penalty |W - W_0|^2,   eta_t = b + W x_t,   b free

Features are centred and rotated to the eigenbasis of their covariance, where the Hessian of every output is
close to (mean variance) * eigenvalue + penalty: the preconditioner of a nonlinear conjugate gradient
(Polak-Ribiere+). Outputs of a separable loss have each their own step lengths, and rest when they have
converged. For the squared loss the preconditioner is the inverse Hessian: one step is the closed form.
Arrays are (output, bin), so that an output is contiguous.

Bins that do not fit into memory come in blocks, which are made anew for each pass over them
(`path_in_blocks`). Nothing that has an axis of bins is then kept from one step to the next: a step takes two
passes, one for the curvature along its direction and one for the objective and its gradient where it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, ClassVar

import numpy as np

from cortseq.observations.base import Loss

Blocks = Iterable[tuple[np.ndarray, np.ndarray]]  # features (bin, feature) and y (output, bin)

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
    yield from problem.descended(penalties, tolerance, origin)


def path_in_blocks(
    loss: Loss, blocks: Blocks, penalties: Iterable[float], tolerance: float = 0.05
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return what `path` does, with sums over blocks of bins in place of arrays of all bins.

    Parameters
    ----------
    loss : a separable one.
    blocks : what is iterated over once for each pass: features (bin, feature) and y (output, bin).
    penalties, tolerance : as of `path`.
    """
    yield from _InBlocks(loss, blocks).descended(penalties, tolerance)


class _Basis:
    """The eigenbasis of the features; parameters theta (output, 1 + direction), the intercept first.

    Parameters
    ----------
    loss : of an output.
    n : number of bins.
    centre : (feature,) mean of the features.
    square : (feature, feature) mean of their products.
    total : (output,) sums of y.
    """

    def __init__(self, loss: Loss, n: int, centre: np.ndarray, square: np.ndarray, total: np.ndarray):
        self.loss, self.n, self.centre = loss, n, centre
        self.variance, self.start = loss.variance(total, n), loss.start(total, n)
        square -= np.outer(centre, centre)
        values, vectors = np.linalg.eigh(square)
        keep = values > _NEGLIGIBLE * np.trace(square)
        self.rotation = vectors[:, keep]
        self.eigenvalues = np.append(1.0, values[keep])
        self.origin = np.zeros((len(total), len(self.eigenvalues)))

    def point(self, theta: np.ndarray, ridge: np.ndarray) -> _Point:
        """Return where a descent begins that has penalties `ridge` (1 + direction,)."""
        raise NotImplementedError

    def descended(
        self,
        penalties: Iterable[float],
        tolerance: float,
        origin: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield weights and intercepts of each penalty; arguments as of `path`."""
        origin = origin or (np.zeros((len(self.start), len(self.centre))), self.start)
        self.origin = theta = self.rotated(*origin)
        for penalty in penalties:
            theta = self.minimise(theta, penalty, tolerance)
            yield self.original(theta)

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
        point = self.point(theta, ridge)
        trail: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        for _ in range(_MOST_STEPS):
            gradient = point.gradient()
            step = -gradient / (self.variance[running, None] * self.eigenvalues + ridge)
            gain = -self._total(gradient * step)
            going = 0.5 * gain * self.n > tolerance
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
    """Abstract: where the descent stands, its parameters theta and the objective per bin, (output,)."""

    arrays: ClassVar[tuple[str, ...]] = ("theta", "origin", "value")  # those with an axis of outputs
    theta: np.ndarray
    value: np.ndarray

    def __init__(self, problem: _Basis, ridge: np.ndarray) -> None:
        self.problem, self.origin, self.ridge = problem, problem.origin, ridge

    def part(self, going: np.ndarray) -> _Point:
        """Return the outputs that go on: nothing is worked out again."""
        part = copy(self)
        for name in self.arrays:
            setattr(part, name, getattr(self, name)[going])
        return part

    def gradient(self) -> np.ndarray:
        """Return the gradient of the objective, (output, 1 + direction)."""
        return np.asarray(self._slopes() / self.problem.n + self.ridge * (self.theta - self.origin))

    def move(self, direction: np.ndarray, slope: np.ndarray) -> None:
        """Take a Newton step along `direction`, halved where it does not lower the objective."""
        before, change = copy(self), self._change(direction)
        curvature = self._curvature(direction, change) / self.problem.n
        length = -slope / (curvature + self.problem._total(self.ridge * direction**2))
        for _ in range(_HALVINGS):
            self._go(before, length, direction, change)
            high = ~(self.value <= before.value + 1e-4 * length * slope)
            if not high.any():
                return
            length = np.where(high, 0.5 * length, length)
        self._return(before, high[:, None])

    def _valued(self, sums: np.ndarray) -> np.ndarray:
        """Return the objective of theta, (output,), from the sums of the loss over bins."""
        away = 0.5 * self.problem._total(self.ridge * (self.theta - self.origin) ** 2)
        return np.asarray(sums / self.problem.n + away)

    def _slopes(self) -> np.ndarray:
        """Return the gradient of the loss summed over bins, (output, 1 + direction)."""
        raise NotImplementedError

    def _change(self, direction: np.ndarray) -> Any:
        """Return how eta (output, bin) changes along a direction, where there is room for it."""
        raise NotImplementedError

    def _curvature(self, direction: np.ndarray, change: Any) -> np.ndarray:
        """Return the second derivative of the loss summed over bins, (output,)."""
        raise NotImplementedError

    def _go(self, before: Any, length: np.ndarray, direction: np.ndarray, change: Any) -> None:
        """Stand `length` (output,) away from `before`."""
        raise NotImplementedError

    def _return(self, before: Any, keep: np.ndarray) -> None:
        """Stand where `before` stood, of the outputs `keep` (output, 1)."""
        raise NotImplementedError


class _Problem(_Basis):
    """Bins that are held, in the eigenbasis: z (bin, 1 + direction), 1 first."""

    def __init__(self, loss: Loss, features: np.ndarray, y: np.ndarray):
        square = features.T @ features / len(features)
        super().__init__(loss, len(features), features.mean(0), square, y.sum(1))
        self.y = y
        self.z = np.ones((len(features), len(self.eigenvalues)))
        np.matmul(features, self.rotation, out=self.z[:, 1:])
        self.z[:, 1:] -= self.centre @ self.rotation

    def point(self, theta: np.ndarray, ridge: np.ndarray) -> _Held:
        """Return where a descent begins."""
        return _Held(self, self.y, theta, ridge)


class _Held(_Point):
    """A point that keeps what it predicts: eta and its mean, (output, bin)."""

    arrays: ClassVar = ("y", "theta", "origin", "eta", "mean", "value")
    problem: _Problem

    def __init__(self, problem: _Problem, y: np.ndarray, theta: np.ndarray, ridge: np.ndarray) -> None:
        super().__init__(problem, ridge)
        self.y = y
        self._set(theta, theta @ problem.z.T)

    def _set(self, theta: np.ndarray, eta: np.ndarray) -> None:
        self.theta, self.eta, self.mean = theta, eta, self.problem.loss.mean(eta)
        self.value = self._valued(self.problem.loss.value(eta, self.mean, self.y))

    def _slopes(self) -> np.ndarray:
        return np.asarray((self.mean - self.y) @ self.problem.z)

    def _change(self, direction: np.ndarray) -> np.ndarray:
        return np.asarray(direction @ self.problem.z.T)

    def _curvature(self, direction: np.ndarray, change: np.ndarray) -> np.ndarray:
        return self.problem.loss.curvature(self.mean, change)

    def _go(self, before: _Held, length: np.ndarray, direction: np.ndarray, change: np.ndarray) -> None:
        self._set(before.theta + length[:, None] * direction, before.eta + length[:, None] * change)

    def _return(self, before: _Held, keep: np.ndarray) -> None:
        self._set(np.where(keep, before.theta, self.theta), np.where(keep, before.eta, self.eta))


class _InBlocks(_Basis):
    """Bins that are made anew for each pass; they stay in the basis in which they are given."""

    def __init__(self, loss: Loss, blocks: Blocks):
        n, first, second, total = 0, np.zeros(()), np.zeros(()), np.zeros(())
        for features, y in blocks:
            first, total, n = first + features.sum(0), total + y.sum(1), n + len(features)
            products = features.T @ features
            second = np.add(second, products, out=second if second.ndim else products)  # a large matrix
        second /= n
        super().__init__(loss, n, first / n, second, total)
        self.blocks = blocks

    def point(self, theta: np.ndarray, ridge: np.ndarray) -> _Passing:
        """Return where a descent begins."""
        return _Passing(self, theta, ridge)


class _Passing(_Point):
    """A point that keeps sums over bins alone; `rows` (output,) are the outputs that it is of."""

    arrays: ClassVar = ("rows", "theta", "origin", "value", "slopes")
    problem: _InBlocks

    def __init__(self, problem: _InBlocks, theta: np.ndarray, ridge: np.ndarray) -> None:
        super().__init__(problem, ridge)
        self.rows = np.arange(len(theta))
        self._set(theta)

    def _set(self, theta: np.ndarray) -> None:
        """Pass over the bins for the objective and its gradient."""
        problem, (weight, bias) = self.problem, self.problem.original(theta)
        value, total, products = np.zeros(len(theta)), np.zeros(len(theta)), np.zeros_like(weight)
        for features, y in problem.blocks:
            eta = weight @ features.T + bias[:, None]
            mean, recorded = problem.loss.mean(eta), y[self.rows]
            value += problem.loss.value(eta, mean, recorded)
            mean -= recorded
            total += mean.sum(1)
            products += mean @ features
        self.theta, self.value = theta, np.zeros(0)
        self.value = self._valued(value)
        rotated = products @ problem.rotation - np.outer(total, problem.centre @ problem.rotation)
        self.slopes = np.hstack([total[:, None], rotated])

    def _slopes(self) -> np.ndarray:
        return self.slopes

    def _change(self, direction: np.ndarray) -> None:
        return None

    def _curvature(self, direction: np.ndarray, change: None) -> np.ndarray:
        problem, (weight, bias) = self.problem, self.problem.original(self.theta)
        weight_along, bias_along = problem.original(direction)
        found = np.zeros(len(direction))
        for features, _ in problem.blocks:
            mean = problem.loss.mean(weight @ features.T + bias[:, None])
            found += problem.loss.curvature(mean, weight_along @ features.T + bias_along[:, None])
        return found

    def _go(self, before: _Passing, length: np.ndarray, direction: np.ndarray, change: None) -> None:
        self._set(before.theta + length[:, None] * direction)

    def _return(self, before: _Passing, keep: np.ndarray) -> None:
        self._set(np.where(keep, before.theta, self.theta))
