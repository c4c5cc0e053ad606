"""Lyapunov exponents of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy
from cortseq.dynamics.flow import Step, as_states
from cortseq.dynamics.jacobians import chunk_size, jacobian_tensor
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_BLOCKS = 20


@dataclass(frozen=True)
class LyapunovSpectrum:
    """exponents (k,) in nats per step, descending, and their standard errors (k,)."""

    exponents: np.ndarray
    standard_errors: np.ndarray


def lyapunov_spectrum(
    flow: Step,
    state,
    n_exponents: int | None = None,
    n_steps: int = 10_000,
    warm_up: int = 1000,
    seed: int = 0,
) -> LyapunovSpectrum:
    """The leading Lyapunov exponents, lambda_i = lim 1/T sum_t ln R_ii(t).

    Tangent vectors Q are carried along a trajectory and made orthonormal at every step,
    Q(t+1) R(t+1) = DF(s_t) Q(t). Benettin et al. 1980, Meccanica 15:9. Standard errors from the means of
    20 blocks of steps.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,). state : (d,) start. n_exponents : how many, None: all d.
    n_steps : averaged over. warm_up : steps before, of the state and of the tangent vectors.
    seed : of the first tangent vectors.

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
    advance = _by_products if sampled or 2 * k < d else _by_jacobians
    growth = np.empty((warm_up + n_steps, k))
    with torch.no_grad():
        for t, r in enumerate(advance(flow, state, frame, len(growth))):
            growth[t] = np.abs(np.diagonal(r))
            if not np.isfinite(growth[t]).all():
                raise CortseqError(f"the trajectory left the finite numbers near step {t}")
    with np.errstate(divide="ignore"):
        logs = np.log(growth[warm_up:])
    blocks = np.array([block.mean(0) for block in np.array_split(logs, _BLOCKS)])
    order = np.argsort(-logs.mean(0), kind="stable")
    return LyapunovSpectrum(logs.mean(0)[order], blocks.std(0, ddof=1)[order] / np.sqrt(_BLOCKS))


def _by_jacobians(flow: Step, state: torch.Tensor, frame: np.ndarray, n_steps: int) -> Iterator[np.ndarray]:
    """R of every step, from whole Jacobians of many steps at once: fastest for most of the spectrum."""
    chunk = chunk_size(len(state))
    for first in range(0, n_steps, chunk):
        states = [state]
        for _ in range(min(chunk, n_steps - first)):
            states.append(flow(states[-1]))
        state = states.pop()
        for jacobian in jacobian_tensor(flow, torch.stack(states)).numpy():
            frame, r = np.linalg.qr(jacobian @ frame)
            yield r


def _by_products(flow: Step, state: torch.Tensor, frame: np.ndarray, n_steps: int) -> Iterator[np.ndarray]:
    """R of every step, from k Jacobian-vector products: fastest for a few exponents of many."""
    for _ in range(n_steps):
        state, image = _push(flow, state, torch.from_numpy(frame))
        frame, r = np.linalg.qr(image.numpy())
        yield r


def _push(flow: Step, state: torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """F(s) and DF(s) Q for the columns of Q."""

    def push(vector):
        return torch.func.jvp(flow, (state,), (vector,))

    try:
        new, image = torch.func.vmap(push, in_dims=1, out_dims=(0, 1), randomness="same")(frame)
    except RuntimeError:  # not vectorisable
        return flow(state), jacobian_tensor(flow, state.unsqueeze(0))[0] @ frame
    return new[0], image
