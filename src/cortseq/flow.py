"""A flow: one step of a dynamical system on one flat state vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cortseq import notebook
from cortseq._lazy import lazy
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Map = Literal["open", "closed", "sampled"]
Step = Callable[["torch.Tensor"], "torch.Tensor"]
Push = Callable[["torch.Tensor", "torch.Tensor"], "tuple[torch.Tensor, torch.Tensor]"]


@dataclass(frozen=True)
class Flow:
    """One step of a dynamical system, s' = F(s), on a flat state.

    Every analysis of `cortseq.dynamics` takes any callable (d,) -> (d,) in place of a Flow.

    Attributes
    ----------
    function : torch float64 (dim,) -> (dim,).
    dim : numbers in a state.
    map : which of a fitted model's maps it is: "open" loop (input held), "closed" loop (input replaced by its
        expectation given the state) or "sampled" (input drawn).
    push : F(s) and DF(s) V of a state (dim,) and the columns of V (dim, k), where one is known in closed
        form; of n states (n, dim) and frames (n, dim, k) at once with `many`.
    many : F of any number of states (..., dim) at once, where `push` takes (n, dim) too; None: they do not.
    """

    function: Step
    dim: int
    map: Map = "closed"
    push: Push | None = None
    many: Step | None = None

    def __repr__(self) -> str:
        """Return which map it is, and its size."""
        return f"Flow of the {self.map} loop, {self.dim} numbers in a state"

    def _repr_html_(self) -> str:
        tangent = "by differentiation" if self.push is None else "in closed form"
        known = {"map": self.map, "numbers in a state": self.dim, "derivative": tangent}
        return notebook.facts("Flow", known)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Take one step: (dim,) -> (dim,)."""
        return self.function(state)


# what torch raises where a step branches on values, assigns in place or leaves torch: not vectorisable
NOT_VECTORISABLE = (RuntimeError, TypeError)


def push_of(flow: Step) -> Push | None:
    """Return the flow's own tangent map on n states (n, d) and a frame of each (n, d, k).

    None where it has none.
    """
    push = getattr(flow, "push", None)
    if push is None or getattr(flow, "many", None) is not None:
        return push
    return torch.func.vmap(push, randomness="different")


def map_of(flow: Step) -> str:
    """Return which map a result is of.

    "open", "closed" or "sampled" of a fitted model, "own" for any other callable.
    """
    return getattr(flow, "map", "own")


def checked(flow: Step) -> Step:
    """Return the flow, which must return a torch tensor of the shape of its state; as float64.

    Raises
    ------
    CortseqError : where it returns anything else.
    """

    def step(state: torch.Tensor) -> torch.Tensor:
        new = flow(state)
        if not isinstance(new, torch.Tensor):
            raise CortseqError(
                f"a flow returns a torch tensor, not {type(new).__name__}",
                key="flow",
                fix="compute with torch, so that it can be differentiated",
            )
        if new.shape != state.shape:
            raise CortseqError(
                f"a flow returns as many values as its state has, {tuple(state.shape)}",
                key="flow",
                value=tuple(new.shape),
                fix="return the whole state",
            )
        return new if new.dtype is state.dtype else new.to(state.dtype)

    return replace(flow, function=step) if isinstance(flow, Flow) else step


def evaluate(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a user's function makes of one state, outside of torch's transforms.

    Raises
    ------
    CortseqError : it does not take the state, or cannot be differentiated.
    """
    try:
        return function(*arguments)
    except NOT_VECTORISABLE as error:
        raise CortseqError(
            f"the flow fails on a state: {str(error).splitlines()[0]}",
            key="flow",
            fix="let it take a torch float64 tensor (d,) and compute with torch operations alone",
        ) from error


def batched(flow: Step) -> Step:
    """Return the flow on many states at once, (n, d) -> (n, d).

    Raises
    ------
    CortseqError : when called, on a flow that does not map a torch tensor (d,) to one of the same shape.
    """
    many = getattr(flow, "many", None)
    if many is not None:
        return many  # type: ignore[no-any-return]
    step = checked(flow)
    mapped = torch.func.vmap(step, randomness="different")

    def together(states: torch.Tensor) -> torch.Tensor:
        try:
            return mapped(states)
        except NOT_VECTORISABLE:
            return torch.stack([evaluate(step, state) for state in states])

    return together


def as_states(states: Any) -> torch.Tensor:
    """Return numpy or torch states as a detached float64 tensor on the CPU.

    (d,) or (n, d).

    Raises
    ------
    CortseqError : no states, another number of axes, or a value that is not finite.
    """
    if isinstance(states, torch.Tensor):
        states = states.detach().cpu().numpy()
    array = np.array(states, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise CortseqError("states are (d,) or (n, d)", value=array.shape)
    if not array.size:
        raise CortseqError("there are no states", value=array.shape, fix="give at least one, (d,) or (n, d)")
    if not np.isfinite(array).all():
        raise CortseqError("a state holds NaN or infinity", fix="leave missing bins out")
    return torch.from_numpy(array)
