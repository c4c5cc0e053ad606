"""Jacobians of a flow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy
from cortseq.flow import NOT_VECTORISABLE, Step, as_states, checked, evaluate, push_of

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

SMALL = 128  # dim up to which whole Jacobians of many steps cost less than the calls for products do
_DOUBLES = 2**24  # working memory of one chunk, 128 MiB
_TEMPORARIES = 10  # vectors of length d that one tangent needs on its way through a cell


def jacobian(flow: Step, states: Any) -> np.ndarray:
    """Return dF_i/ds_j at each state, exact.

    By the flow's own tangent map where it has one, else automatic differentiation.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,).
    states : (n, d), or (d,) for one state.

    Returns
    -------
    (n, d, d) float64, or (d, d) for one state; row i is the derivative of component i, 0 where the flow
    returns a constant.

    Raises
    ------
    CortseqError : no states, values that are not finite, or a flow that does not map a torch tensor (d,) to
    one.
    """
    states = as_states(states)
    return jacobian_tensor(checked(flow), torch.atleast_2d(states)).reshape(*states.shape, -1).numpy()


def jacobian_tensor(flow: Step, states: torch.Tensor) -> torch.Tensor:
    """Return Jacobians (n, m, d) of any function (d,) -> (m,) at states (n, d).

    Computed in chunks that bound memory.
    """
    parts = [_chunk(flow, part) for part in states.split(chunk_size(states.shape[1]))]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def jacobians_along(step: Any, states: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return dF(s, x)/ds at every pair of a state (n, d) and an input (n, m), (n, d, d)."""
    size = chunk_size(states.shape[1])
    try:
        every = torch.func.vmap(torch.func.jacrev(step))
        return torch.cat([every(s, x) for s, x in zip(states.split(size), inputs.split(size), strict=True)])
    except NOT_VECTORISABLE:
        given = [partial(_swapped, step, x) for x in inputs]
        return torch.stack([evaluate(_jacobian, flow, s) for flow, s in zip(given, states, strict=True)])


def _swapped(step: Any, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return step(state, x)


def push_each(flow: Step, states: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """F(s) and DF(s) v of any function (d,) -> (m,), for n pairs of a state and a tangent vector (n, d)."""

    def push(state: torch.Tensor, vector: torch.Tensor) -> Any:
        return torch.func.jvp(flow, (state,), (vector,))

    try:
        return torch.func.vmap(push, randomness="different")(states, vectors)
    except NOT_VECTORISABLE:
        jacobians = jacobian_tensor(flow, states)
        new = torch.stack([evaluate(flow, state) for state in states])
        return new, (jacobians @ vectors.unsqueeze(-1)).squeeze(-1)


def chunk_size(dim: int) -> int:
    """Return how many Jacobians are computed at once."""
    return max(1, min(1024, _DOUBLES // (_TEMPORARIES * dim * dim)))


def _chunk(flow: Step, states: torch.Tensor) -> torch.Tensor:
    push = push_of(flow)
    if push is not None:
        eye = torch.eye(states.shape[1], dtype=states.dtype)
        with torch.no_grad():
            return push(states, eye.expand(len(states), -1, -1))[1]
    try:
        return torch.func.vmap(torch.func.jacrev(flow), randomness="different")(states)
    except NOT_VECTORISABLE:
        return torch.stack([evaluate(_jacobian, flow, s) for s in states])


def _jacobian(flow: Step, state: torch.Tensor) -> torch.Tensor:
    """Of one state; a branch that returns a constant has a Jacobian of 0."""
    return torch.autograd.functional.jacobian(flow, state, strict=False)
