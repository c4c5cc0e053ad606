"""Lyapunov exponents of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.blas import dsyrk, dtrsm
from scipy.linalg.lapack import dpotrf

from cortseq._lazy import lazy
from cortseq.dynamics.flow import Step, as_states
from cortseq.dynamics.jacobians import SMALL, chunk_size, jacobian_tensor
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_BLOCKS = 20
_LOOK_AHEAD = 128  # steps whose Jacobians are computed at once
_LONGEST = 50  # steps between two QR factorisations, at most ...
_SPREAD = np.log(1e6)  # ... and while the columns grow apart by less than this, so that rounding stays 1e-10
_SAFE = 1e-7  # smallest over largest diagonal of R: its square is what rounding leaves of a Gram matrix


@dataclass(frozen=True)
class LyapunovSpectrum:
    """exponents (k,) in nats per step, descending, and their standard errors (k,).

    n_steps : averaged over. converged : whether the errors are below the tolerance that was asked for.
    """

    exponents: np.ndarray
    standard_errors: np.ndarray
    n_steps: int
    converged: bool

    @property
    def kaplan_yorke_dimension(self) -> float:
        """See `kaplan_yorke`."""
        return kaplan_yorke(self.exponents)

    @property
    def entropy(self) -> float:
        """Sum of the positive exponents, nats per step: an upper bound of the metric entropy (Ruelle 1978)."""
        return entropy(self.exponents)


def lyapunov_spectrum(
    flow: Step,
    state,
    n_exponents: int | None = None,
    n_steps: int = 10_000,
    warm_up: int = 1000,
    seed: int = 0,
    tolerance: float | None = None,
    max_steps: int = 1_000_000,
) -> LyapunovSpectrum:
    """The leading Lyapunov exponents, lambda_i = lim 1/T sum_t ln R_ii(t).

    Tangent vectors Q are carried along a trajectory, Q(t+1) R(t+1) = DF(s_t) Q(t), and made orthonormal as
    often as their growth demands: at every step of a map with a wide spectrum, at every fiftieth of a slow one.
    Benettin et al. 1980, Meccanica 15:9. Standard errors from the means of 20 blocks of steps.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,). state : (d,) start. n_exponents : how many, None: all d.
    n_steps : averaged over. warm_up : steps before, of the state and of the tangent vectors.
    seed : of the first tangent vectors. tolerance : go on, doubling the steps, until no standard error is
    larger, or for `max_steps`; None: `n_steps` and no more.

    Raises
    ------
    CortseqError : the trajectory leaves the finite numbers, or fewer than 20 steps.
    """
    state = as_states(state).flatten()
    d = len(state)
    k = d if n_exponents is None else n_exponents
    if not 1 <= k <= d:
        raise CortseqError(f"n_exponents lies between 1 and {d}", key="n_exponents", value=n_exponents)
    if n_steps < _BLOCKS:
        raise CortseqError(f"at least {_BLOCKS} steps are needed", key="n_steps", value=n_steps)
    frame = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, k)))[0]
    sampled = getattr(flow, "map", "") == "sampled"  # the tangent must see the draw that the state saw
    advance = _by_products if sampled or (2 * k < d and d > SMALL) else _by_jacobians
    advance = advance if getattr(flow, "push", None) is None else _by_push
    orthonormal = _Frame(frame)
    with torch.no_grad():
        steps = advance(flow, state, orthonormal)
        _carry(steps, orthonormal, warm_up)
        blocks = _carry(steps, orthonormal, n_steps)
        while tolerance is not None and len(blocks) < max_steps and _errors(blocks).max() > tolerance:
            blocks = np.concatenate(
                [blocks, _carry(steps, orthonormal, min(len(blocks), max_steps - len(blocks)))]
            )
    means, errors = blocks.mean(0), _errors(blocks)
    order = np.argsort(-means, kind="stable")
    converged = tolerance is None or bool(errors.max() <= tolerance)
    return LyapunovSpectrum(means[order], errors[order], len(blocks), converged)


def kaplan_yorke(exponents) -> float:
    """j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|, j the most exponents whose sum is not negative.

    0 where all are negative; the number of exponents where their whole sum is not: more are needed, or the
    map does not contract. Kaplan & Yorke 1979.
    """
    values = np.sort(np.asarray(exponents, dtype=np.float64))[::-1]
    sums = np.cumsum(values)
    j = int((sums >= 0).cumprod().sum())
    return float(j) if j in (0, len(values)) else float(j + sums[j - 1] / abs(values[j]))


def entropy(exponents) -> float:
    """Sum of the positive exponents (Pesin 1977), nats per step."""
    return float(np.maximum(np.asarray(exponents, dtype=np.float64), 0).sum())


class _Frame:
    """Orthonormal tangent vectors, renewed by QR when their images have grown apart."""

    def __init__(self, vectors: np.ndarray):
        self.vectors, self.age, self.interval, self.fastest = vectors, 0, 1, 1e-12

    def renew(self, images: np.ndarray, now: bool) -> tuple[int, np.ndarray] | None:
        """Takes the images after one more step; (steps, ln diag R) where they were factorised."""
        self.vectors, self.age = images, self.age + 1
        if self.age < self.interval and not now:
            return None
        self.vectors, logs = _factorise(images)
        age, self.age = self.age, 0
        with np.errstate(invalid="ignore"):  # directions that the map annihilates
            growth = max(np.abs(logs).max(), logs.max() - logs.min()) / age
        self.fastest = max(self.fastest, growth)
        self.interval = int(np.clip(_SPREAD / self.fastest, 1, min(2 * self.interval, _LONGEST)))
        return age, logs


def _factorise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q and ln |diag R| of images = Q R, by Cholesky's factor of the Gram matrix while that is safe.

    R'R = A'A, Q = A R^-1: twice as fast as reflections. Q departs from orthonormal by the square of the spread
    of R times rounding, which costs nothing here: what R misses of a volume stays in Q, and the next R counts it.
    """
    gram = dsyrk(1.0, images.T)
    r, failed = dpotrf(gram, overwrite_a=1)
    diagonal = np.abs(np.diagonal(r))
    if failed or diagonal.min() < _SAFE * diagonal.max():
        q, r = np.linalg.qr(images)
        with np.errstate(divide="ignore"):
            return q, np.log(np.abs(np.diagonal(r)))
    return dtrsm(1.0, r, images.T, trans_a=1).T, np.log(diagonal)


def _carry(steps: Iterator[np.ndarray], frame: _Frame, n_steps: int) -> np.ndarray:
    """ln R_ii of each of n_steps, (n_steps, k); steps between two factorisations share their mean."""
    out = np.empty((n_steps, frame.vectors.shape[1]))
    for t in range(n_steps):
        images = next(steps)
        if not np.isfinite(images).all():
            raise CortseqError(f"the trajectory left the finite numbers near step {t}")
        done = frame.renew(images, now=t == n_steps - 1)
        if done is not None:
            out[t + 1 - done[0] : t + 1] = done[1] / done[0]
    return out


def _errors(logs: np.ndarray) -> np.ndarray:
    blocks = np.array([block.mean(0) for block in np.array_split(logs, _BLOCKS)])
    with np.errstate(invalid="ignore"):
        return blocks.std(0, ddof=1) / np.sqrt(_BLOCKS)


def _by_push(flow, state: torch.Tensor, frame: _Frame) -> Iterator[np.ndarray]:
    """Images of the frame by the closed form that comes with the flow."""
    while True:
        state, image = flow.push(state, torch.from_numpy(frame.vectors))
        yield image.numpy()


def _by_jacobians(flow: Step, state: torch.Tensor, frame: _Frame) -> Iterator[np.ndarray]:
    """Images of the frame, from whole Jacobians of many steps at once: fastest for most of the spectrum."""
    chunk = min(chunk_size(len(state)), _LOOK_AHEAD)
    while True:
        states = [state]
        for _ in range(chunk):
            states.append(flow(states[-1]))
        state = states.pop()
        for jacobian in jacobian_tensor(flow, torch.stack(states)).numpy():
            yield jacobian @ frame.vectors


def _by_products(flow: Step, state: torch.Tensor, frame: _Frame) -> Iterator[np.ndarray]:
    """Images of the frame, from k Jacobian-vector products: fastest for a few exponents of many."""
    while True:
        state, image = _push(flow, state, torch.from_numpy(frame.vectors))
        yield image.numpy()


def _push(flow: Step, state: torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """F(s) and DF(s) Q for the columns of Q."""

    def push(vector):
        return torch.func.jvp(flow, (state,), (vector,))

    try:
        new, image = torch.func.vmap(push, in_dims=1, out_dims=(0, 1), randomness="same")(frame)
    except RuntimeError:  # not vectorisable
        return flow(state), jacobian_tensor(flow, state.unsqueeze(0))[0] @ frame
    return new[0], image
