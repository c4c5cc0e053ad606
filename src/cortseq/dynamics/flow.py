"""A flow: one step of a dynamical system on one flat state vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cortseq._lazy import lazy
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Step = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class Flow:
    """s' = F(s): torch float64 (dim,) -> (dim,), or (n, dim) -> (n, dim) if `function` takes batches.

    `map` names which of a fitted model's maps it is: "open" loop (input held), "closed" loop (input
    replaced by its expectation given the state) or "sampled" (input drawn). Every analysis of this
    package takes any callable (d,) -> (d,) in place of a Flow.
    """

    function: Step
    dim: int
    map: Literal["open", "closed", "sampled"] = "closed"
    push: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        return self.function(state)


def batched(flow: Step) -> Step:
    """The flow on many states at once, (n, d) -> (n, d)."""
    mapped = torch.func.vmap(flow, randomness="different")

    def together(states: torch.Tensor) -> torch.Tensor:
        try:
            return mapped(states)
        except RuntimeError:  # branches on values or assigns in place: correct, but not vectorisable
            return torch.stack([flow(state) for state in states])

    return together


def as_states(states) -> torch.Tensor:
    """numpy or torch, (d,) or (n, d), as a detached float64 tensor on the CPU.

    Raises
    ------
    CortseqError : another number of axes, or a value that is not finite.
    """
    if isinstance(states, torch.Tensor):
        states = states.detach().cpu().numpy()
    array = np.array(states, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise CortseqError("states are (d,) or (n, d)", value=array.shape)
    if not np.isfinite(array).all():
        raise CortseqError("a state holds NaN or infinity", fix="leave missing bins out")
    return torch.from_numpy(array)
