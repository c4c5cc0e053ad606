"""The diagonal linear recurrence, over all bins of all trials at once.

    s_t = a_t s_{t-1} + x_t,    t = 1 .. T

The numbers of the state do not interact, so the states of all bins can be computed together.
On a CPU a compiled loop passes over the bins. On any other device, and where torch batches a function
(`torch.func.vmap`), the bins are combined in ceil(log2 T) passes over whole arrays (Hillis & Steele 1986,
Commun ACM 29:1170).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit

from cortseq.compiled.functions import OPTIONS


def scan(a: torch.Tensor, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Return all states of s_t = a_t s_{t-1} + x_t, the first one included.

    It can be differentiated as often as one likes. On a CPU the first derivative is a compiled loop as well:
    with g_t the derivative of a loss by s_t alone,

        d_t = g_t + conj(a_{t+1}) d_{t+1},    dL/dx_t = d_t,    dL/da_t = d_t conj(s_{t-1}),    dL/ds_0 = d_0

    Parameters
    ----------
    a : factors, (..., trial, time, size), or (..., size) where all trials and bins have the same. The axes
        before `trial` are those of members; they must be those of `x`.
    x : what is added, (..., trial, time, size).
    start : s_0, (..., trial, size).
        All three are tensors of one type: float32, float64, complex64 or complex128.

    Returns
    -------
    s_0 .. s_T, (..., trial, time + 1, size).
    """
    factors = a if a.ndim == x.ndim else a[..., None, None, :]
    if x.device.type == "cpu":
        return _Scan.apply(factors, x, start)
    return doubling(factors, x, start)


def doubling(a: torch.Tensor, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Return the states of `scan` in ceil(log2 time) passes of torch operations.

    After pass k, x_t holds the part of s_t that the last 2^k bins made, and a_t the product of their factors.

    Parameters
    ----------
    a : (..., trial or 1, time or 1, size); with one bin the factors are the same in all.
    x, start : as of `scan`.
    """
    x = torch.cat([start.unsqueeze(-2), x], -2)  # s_0 is what bin 0 adds to nothing
    moving = a.shape[-2] > 1
    if moving:
        a = torch.cat([torch.ones_like(a[..., :1, :]), a], -2)
    reach, n = 1, x.shape[-2]
    while reach < n:
        late = a[..., reach:, :] if moving else a
        x = torch.cat([x[..., :reach, :], x[..., reach:, :] + late * x[..., :-reach, :]], -2)
        a = torch.cat([a[..., :reach, :], late * a[..., :-reach, :]], -2) if moving else a * a
        reach *= 2
    return x


class _Scan(torch.autograd.Function):
    """`scan` on a CPU. Its derivative is the same recurrence from the last bin to the first."""

    @staticmethod
    def forward(a: torch.Tensor, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(
            _states(*(tensor.detach().resolve_conj().numpy() for tensor in (a, x, start)))
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a, states = ctx.saved_tensors
        if not torch.is_grad_enabled():
            found = _gradients(*(tensor.detach().numpy() for tensor in (a, states, gradient.resolve_conj())))
            return tuple(torch.from_numpy(array) for array in found)
        # the gradient is to be differentiated itself: write it with operations that can be
        factors, given = a.conj().flip(-2), gradient.flip(-2)
        d = _Scan.apply(factors, given[..., 1:, :], given[..., 0, :]).flip(-2)
        d_x = d[..., 1:, :]
        return (d_x * states[..., :-1, :].conj()).sum_to_size(a.shape), d_x, d[..., 0, :]

    @staticmethod
    def vmap(info: Any, axes: tuple[int | None, ...], *tensors: torch.Tensor) -> tuple[torch.Tensor, int]:
        first = [
            tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
            for tensor, axis in zip(tensors, axes, strict=True)
        ]
        return doubling(*first), 0


def _states(a: np.ndarray, x: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the states (..., trial, time + 1, size); arrays as of `doubling`."""
    states = np.empty((*x.shape[:-2], x.shape[-2] + 1, x.shape[-1]), x.dtype)
    states[..., 0, :] = start
    _forward(_rows(a), _rows(x), _rows(states))
    return states


def _gradients(a: np.ndarray, states: np.ndarray, gradient: np.ndarray) -> list[np.ndarray]:
    """Return the derivatives by a, x and the start from those by all states (..., trial, time + 1, size)."""
    *outer, n, size = states.shape
    d_a, d_x = np.zeros(a.shape, a.dtype), np.empty((*outer, n - 1, size), a.dtype)
    d_start = np.empty((*outer, size), a.dtype)
    rows = [_rows(array) for array in (a, states, gradient, d_a, d_x)]
    _backward(*rows, d_start.reshape(-1, size))
    return [d_a, d_x, d_start]


def _rows(array: np.ndarray) -> np.ndarray:
    """Return (row, time, size) of (..., time, size), contiguous; a view where the array is."""
    return np.ascontiguousarray(array).reshape(math.prod(array.shape[:-2]), *array.shape[-2:])


@njit(**OPTIONS)
def _forward(a: np.ndarray, x: np.ndarray, states: np.ndarray) -> None:
    """Fill states (row, time + 1, size) from states[:, 0]; a (group, time or 1, size), rows are in groups."""
    rows, n_time, size = x.shape
    moving = a.shape[1] > 1
    for row in range(rows):
        factors = a[row * a.shape[0] // rows]
        for t in range(n_time):
            factor, added = factors[t if moving else 0], x[row, t]
            before, after = states[row, t], states[row, t + 1]
            for i in range(size):
                after[i] = factor[i] * before[i] + added[i]


@njit(**OPTIONS)
def _backward(
    a: np.ndarray,
    states: np.ndarray,
    gradient: np.ndarray,
    d_a: np.ndarray,
    d_x: np.ndarray,
    d_start: np.ndarray,
) -> None:
    """Add to d_a, and fill d_x (row, time, size) and d_start (row, size); other arrays as of `_forward`."""
    rows, n_time, size = d_x.shape
    moving = a.shape[1] > 1
    for row in range(rows):
        group = row * a.shape[0] // rows
        d = d_start[row]
        d[:] = gradient[row, n_time]
        for t in range(n_time - 1, -1, -1):
            place = t if moving else 0
            factor, d_factor = a[group, place], d_a[group, place]
            state, given, passed = states[row, t], gradient[row, t], d_x[row, t]
            for i in range(size):
                passed[i] = d[i]
                d_factor[i] += d[i] * np.conj(state[i])
                d[i] = given[i] + np.conj(factor[i]) * d[i]
