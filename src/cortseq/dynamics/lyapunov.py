"""Lyapunov exponents of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import blas, lapack, lazy
from cortseq.dynamics.jacobians import SMALL, chunk_size, jacobian_tensor
from cortseq.errors import CortseqError
from cortseq.flow import NOT_VECTORISABLE, Step, as_states, checked, evaluate, map_of
from cortseq.notebook import Drawn

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

# per step: the state, and what the map makes of the frame there
Images = Iterator[tuple["torch.Tensor", np.ndarray]]

_BLOCKS = (20, 10, 5, 3, 2)  # lengths tried, as parts of the run
_CONFIRMED = 2  # doublings in a row that must meet the tolerance
_LOOK_AHEAD = 128  # steps whose Jacobians are computed at once
_LONGEST = 50  # steps between two QR factorisations, at most ...
_SPREAD = np.log(1e10)  # ... and while the columns grow apart by less than this; see `_Frame.renew`
_SAFE = 1e-7  # smallest over largest diagonal of R: its square is what rounding leaves of a Gram matrix


@dataclass(frozen=True, repr=False)
class LyapunovSpectrum(Drawn):
    """Leading Lyapunov exponents of a map with their standard errors.

    Attributes
    ----------
    exponents : (k,) in nats per step, descending.
    standard_errors : (k,) of the exponents.
    n_steps : averaged over.
    converged : whether the errors are below the tolerance that was asked for.
    map : which map they are of, "own" for a callable that is no `Flow`.
    """

    exponents: np.ndarray
    standard_errors: np.ndarray
    n_steps: int
    converged: bool
    map: str = "closed"

    @property
    def kaplan_yorke_dimension(self) -> float:
        """Kaplan-Yorke dimension; see `kaplan_yorke`."""
        return kaplan_yorke(self.exponents)

    @property
    def entropy(self) -> float:
        """Sum of the positive exponents, nats per step.

        An upper bound of the metric entropy (Ruelle 1978).
        """
        return entropy(self.exponents)


def lyapunov_spectrum(
    flow: Step,
    state: Any,
    n_exponents: int | None = None,
    n_steps: int = 10_000,
    warm_up: int = 1000,
    seed: int = 0,
    tolerance: float | None = None,
    max_steps: int = 1_000_000,
) -> LyapunovSpectrum:
    """Return the leading Lyapunov exponents, lambda_i = lim 1/T sum_t ln R_ii(t).

    Tangent vectors Q are carried along a trajectory, Q(t+1) R(t+1) = DF(s_t) Q(t), and made orthonormal as
    often as their growth demands: at every second step of a map with a wide spectrum, at every fiftieth of a
    slow one. Benettin et al. 1980, Meccanica 15:9. Standard errors from the means of overlapping blocks
    (Meketon & Schmeiser 1984, Winter Simulation Conf. 227), the largest over blocks of 1/20 to 1/2 of the
    run: what is correlated for longer than a block makes its error too small. A run shorter than a few
    correlation times shows too little of them whatever is done.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,).
    state : (d,) start.
    n_exponents : how many, None: all d.
    n_steps : averaged over.
    warm_up : steps before, of the state and of the tangent vectors.
    seed : of the first tangent vectors.
    tolerance : go on, doubling the steps, until no standard error is larger at two doublings in a row, or for
        `max_steps`; None: `n_steps` and no more.

    Raises
    ------
    CortseqError : the trajectory leaves the finite numbers, fewer than 20 steps, or a flow that does not map
    a torch tensor (d,) to one.
    """
    state = as_states(state).flatten()
    d = len(state)
    k = d if n_exponents is None else n_exponents
    if not 1 <= k <= d:
        raise CortseqError(f"n_exponents lies between 1 and {d}", key="n_exponents", value=n_exponents)
    if n_steps < max(_BLOCKS):
        raise CortseqError(f"at least {max(_BLOCKS)} steps are needed", key="n_steps", value=n_steps)
    frame = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, k)))[0]
    sampled = map_of(flow) == "sampled"  # the tangent must see the draw that the state saw
    advance = _by_products if sampled or (2 * k < d and d > SMALL) else _by_jacobians
    advance = advance if getattr(flow, "push", None) is None else _by_push
    orthonormal = _Frame(frame)
    with torch.no_grad():
        steps = advance(flow, state, orthonormal)
        _carry(steps, orthonormal, warm_up)
        # the shortest blocks hold two factorisations or more: steps between two share their mean
        orthonormal.limit(n_steps // (2 * max(_BLOCKS)))
        logs = _carry(steps, orthonormal, n_steps)
        met = 0
        while tolerance is not None and met < _CONFIRMED and len(logs) < max_steps:
            more = _carry(steps, orthonormal, min(len(logs), max_steps - len(logs)))
            logs = np.concatenate([logs, more])
            met = 0 if (_errors(logs) > tolerance).any() else met + 1
    means, errors = logs.mean(0), _errors(logs)
    order = np.argsort(-means, kind="stable")
    converged = tolerance is None or met >= _CONFIRMED
    return LyapunovSpectrum(means[order], errors[order], len(logs), converged, map_of(flow))


def kaplan_yorke(exponents: ArrayLike) -> float:
    """Return the Kaplan-Yorke dimension of exponents (k,).

    j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|, j the most exponents whose sum is not negative.

    0 where all are negative; the number of exponents where their whole sum is not: more are needed, or the
    map does not contract. Kaplan & Yorke 1979.
    """
    values = np.sort(np.asarray(exponents, dtype=np.float64))[::-1]
    sums = np.cumsum(values)
    j = int((sums >= 0).cumprod().sum())
    return float(j) if j in (0, len(values)) else float(j + sums[j - 1] / abs(values[j]))


def entropy(exponents: ArrayLike) -> float:
    """Return the sum of the positive exponents (exponent,) in nats per step (Pesin 1977)."""
    return float(np.maximum(np.asarray(exponents, dtype=np.float64), 0).sum())


class _Frame:
    """Orthonormal tangent vectors, renewed by QR when their images have grown apart."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors, self.longest = vectors, _LONGEST
        self.age, self.interval, self.fastest = 0, 1, 1e-12

    def limit(self, longest: int) -> None:
        """From here on at most so many steps between two factorisations, and 1 at the least."""
        self.longest = int(np.clip(longest, 1, _LONGEST))
        self.interval = min(self.interval, self.longest)

    def move(self, images: np.ndarray) -> bool:
        """Take the images after one more step; whether they are due to be renewed."""
        self.vectors, self.age = images, self.age + 1
        return self.age >= self.interval

    def renew(self, last: bool = False) -> tuple[int, np.ndarray]:
        """Return steps since the last time, and ln diag R over these; `last`: in this part of the run.

        Rounding changes the smallest entry of R by 1e-16 times the spread of the columns: by 1e-6 at most, in
        either direction, which a mean over a thousand steps and more hardly sees. The last factorisation is
        by reflections, as no other counts what its R may miss.
        """
        self.vectors, logs = _by_reflections(self.vectors) if last else _factorise(self.vectors)
        age, self.age = self.age, 0
        with np.errstate(invalid="ignore"):  # directions that the map annihilates
            growth = max(np.abs(logs).max(), logs.max() - logs.min()) / age
        self.fastest = max(self.fastest, growth)
        self.interval = int(np.clip(_SPREAD / self.fastest, 1, min(2 * self.interval, self.longest)))
        return age, logs


def _factorise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and ln |diag R| of images = Q R, by Cholesky's factor of the Gram matrix while that is safe.

    R'R = A'A, Q = A R^-1: twice as fast as reflections. Q departs from orthonormal by the square of the
    spread of R times rounding, which costs nothing here: what R misses of a volume stays in Q, and the next R
    counts it.
    """
    gram = blas.dsyrk(1.0, images.T)
    r, failed = lapack.dpotrf(gram, overwrite_a=1)
    diagonal = np.abs(np.diagonal(r))
    if failed or diagonal.min() < _SAFE * diagonal.max():
        return _by_reflections(images)
    return blas.dtrsm(1.0, r, images.T, trans_a=1).T, np.log(diagonal)


def _by_reflections(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and ln |diag R| of images = Q R."""
    q, r = np.linalg.qr(images)
    with np.errstate(divide="ignore"):
        return q, np.log(np.abs(np.diagonal(r)))


def _carry(steps: Images, frame: _Frame, n_steps: int) -> np.ndarray:
    """Return ln R_ii of each of n_steps, (n_steps, k); steps between two factorisations share their mean."""
    out = np.empty((n_steps, frame.vectors.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):  # what overflows is seen at the next factorisation
        for t in range(n_steps):
            state, images = next(steps)
            if not frame.move(images) and t < n_steps - 1:
                continue
            # a map such as relu(3 s) keeps tangent vectors finite on an orbit that is not
            if not (np.isfinite(state.numpy()).all() and np.isfinite(images).all()):
                raise CortseqError(
                    f"the trajectory left the finite numbers near step {t}",
                    key="state",
                    fix="a map that runs away has no exponents: start elsewhere or bound it",
                )
            age, logs = frame.renew(last=t == n_steps - 1)
            out[t + 1 - age : t + 1] = logs / age
    return out


def _errors(logs: np.ndarray) -> np.ndarray:
    """Return standard errors of the mean over steps (n, k), the largest over lengths of blocks; NaN for -inf.

    The mean squared distance of the means of overlapping blocks of b steps to the mean of all n is
    var(mean) (n - b) / b on the average, if blocks are not correlated.
    """
    n = len(logs)
    with np.errstate(invalid="ignore"):  # directions that the map annihilates
        sums = np.concatenate([np.zeros((1, logs.shape[1])), np.cumsum(logs - logs.mean(0), 0)])
        lengths = [n // parts for parts in _BLOCKS]
        squares = [((sums[b:] - sums[:-b]) ** 2).mean(0) / (b * (n - b)) for b in lengths]
    return np.asarray(np.sqrt(np.max(squares, 0)))


def _by_push(flow: Any, state: torch.Tensor, frame: _Frame) -> Images:
    """Yield states and images of the frame by the closed form that comes with the flow."""
    while True:
        before = state
        state, image = flow.push(before, torch.from_numpy(frame.vectors))
        yield before, image.numpy()


def _by_jacobians(flow: Step, state: torch.Tensor, frame: _Frame) -> Images:
    """Yield the same from whole Jacobians of many steps at once: fastest for most of the spectrum."""
    chunk, flow = min(chunk_size(len(state)), _LOOK_AHEAD), checked(flow)
    while True:
        states = [state]
        for _ in range(chunk):
            states.append(evaluate(flow, states[-1]))
        state = states.pop()
        for before, jacobian in zip(states, jacobian_tensor(flow, torch.stack(states)).numpy(), strict=True):
            yield before, jacobian @ frame.vectors


def _by_products(flow: Step, state: torch.Tensor, frame: _Frame) -> Images:
    """Yield the same from k Jacobian-vector products: fastest for a few exponents of many."""
    flow = checked(flow)
    while True:
        before = state
        state, image = _push(flow, before, torch.from_numpy(frame.vectors))
        yield before, image.numpy()


def _push(flow: Step, state: torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return F(s) and DF(s) Q for the columns of Q."""

    def push(vector: Any) -> Any:
        return torch.func.jvp(flow, (state,), (vector,))

    try:
        new, image = torch.func.vmap(push, in_dims=1, out_dims=(0, 1), randomness="same")(frame)
    except NOT_VECTORISABLE:
        return evaluate(flow, state), jacobian_tensor(flow, state.unsqueeze(0))[0] @ frame
    return new[0], image
