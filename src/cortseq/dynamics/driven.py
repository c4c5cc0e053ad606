"""A fitted cell under its recorded input: the open loop along real trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy, xr
from cortseq.dynamics.jacobians import jacobians_along, push_each
from cortseq.errors import CortseqError
from cortseq.notebook import Shown
from cortseq.traced import traced

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

DrivenStep = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
DrivenTangent = Callable[
    ["torch.Tensor", "torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]
]


@dataclass(frozen=True, repr=False)
class Driven(Shown):
    """Open loop of one member along recorded trials, s_{t+1} = F(s_t, x_t), torch float64.

    Attributes
    ----------
    step : (dim,), (m,) -> (dim,), or both with a leading axis.
    inputs : (trial, time, m) encoded observations and the recording's inputs.
    states : (trial, time, dim) before each bin.
    last : (trial,) position of each trial's last valid bin.
    sizes : of the parts of the state, such as (h, c).
    tangent : F(s, x) and DF(s, x) V by the state in closed form, of n states (n, dim), inputs (n, m) and
        frames (n, dim, k), where the family writes it.
    """

    step: DrivenStep
    inputs: torch.Tensor
    states: torch.Tensor
    last: np.ndarray
    sizes: tuple[int, ...]
    tangent: DrivenTangent | None = None

    def push(self, states: torch.Tensor, inputs: torch.Tensor, vectors: torch.Tensor) -> tuple[Any, ...]:
        """Return F(s, x) and DF(s, x) v by the state.

        For n states (n, dim), inputs (n, m) and vectors (n, dim).
        """
        with torch.no_grad():
            if self.tangent is not None:
                new, images = self.tangent(states, inputs, vectors.unsqueeze(-1))
                return new, images.squeeze(-1)
            dim = vectors.shape[1]
            both = torch.cat([states, inputs], -1)
            padded = torch.cat([vectors, torch.zeros_like(inputs)], -1)
            return push_each(lambda z: self.step(z[:dim], z[dim:]), both, padded)

    def jacobians(self, states: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Return dF(s, x)/ds of n states (n, dim) and inputs (n, m), (n, dim, dim)."""
        if self.tangent is None:
            return jacobians_along(self.step, states, inputs)
        n, dim = states.shape
        with torch.no_grad():
            return self.tangent(states, inputs, torch.eye(dim, dtype=states.dtype).expand(n, dim, dim))[1]

    @property
    def stream(self) -> torch.Tensor:
        """The inputs of all trials one after another, (bin, m), without the bins after each trial's end."""
        return torch.cat([x[: n + 1] for x, n in zip(self.inputs, self.last, strict=True)])


def driven(fit: Any, recording: xr.Dataset, member: int = 0, trials: ArrayLike | None = None) -> Driven:
    """Return the open loop of one member of a recurrent Fit in `trials`, positions (trial,); None: all.

    Raises
    ------
    CortseqError : a fit that has no state, no such member, one that restarts before each prediction
    (`memory`), or whose state stores the last bins (`windowed`).
    """
    data = fit._data(recording, trials)
    one = fit.member(member)
    if one.network.memory is not None:
        raise CortseqError(
            "a network that restarts has no open loop along a trial", key="memory", value=one.network.memory
        )
    if one.cell.windowed:
        raise CortseqError(
            f"a {one.cell.family} has no open loop along a trial: its state stores the last bins",
            key="family",
            value=one.cell.family,
            fix="examine a network with one recurrent state, such as rate or gru",
        )
    inputs, states = one.scan(data)
    ends = np.maximum(data.lengths - 1, 0)
    push = traced(one.push, one.cell) if one.cell.has_tangent else None
    return Driven(one.step, inputs, states, ends, one.sizes, push)
