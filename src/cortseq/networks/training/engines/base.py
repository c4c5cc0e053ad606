"""What every engine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.networks.network import Network
from cortseq.networks.training.noise import Draws
from cortseq.networks.training.settings import Training

State = tuple[Any, ...]  # arrays (..., trial, size): tensors, or numpy's of the compiled engine


@dataclass
class Batch:
    """Trials `index` (member, trial), cut after `stop` bins; `draws` of each member while it learns.

    `progress`: the fraction of the epochs that is over, for strategies that change with it.
    """

    index: np.ndarray | torch.Tensor
    stop: int
    draws: list[Draws] = field(default_factory=list)
    progress: float = 0.0


@dataclass
class Segment:
    """What one stretch of bins gave: loss in nats (member,), gradient for its first states, states kept."""

    loss: np.ndarray
    d_state: State
    kept: dict[int, State]


def accumulate(ends: list[torch.Tensor], gradients: list[Any], p: Params) -> None:
    """Add to the gradient of every free parameter what `ends` pass back to it.

    `torch.autograd.backward` does the same, but warns that it is slow wherever parameters are views of one
    tensor, as those of several members are (`cortseq.networks.training.flat`).

    Parameters
    ----------
    ends
        Tensors computed from `p`.
    gradients
        Derivative of the loss by each of `ends`, of the same shapes.
    p
        Parameters; their `.grad` change in place.
    """
    free = [value for value in p.values() if value.requires_grad]
    found = torch.autograd.grad(ends, free, gradients, allow_unused=True)
    for value, gradient in zip(free, found, strict=True):
        if gradient is not None:
            value.grad = gradient.clone() if value.grad is None else value.grad.add_(gradient)


class Engine:
    """Abstract: see `cortseq.networks.training.engines`."""

    name = ""

    def __init__(self, network: Network, data: Data, training: Training):
        self.network, self.training = network, training
        self._count(data)

    def _count(self, data: Data) -> None:
        """Note the trials, their events and their lengths."""
        self.data = data
        self.events = data.n_events().sum(1).astype(float)
        self.length = np.maximum(data.lengths, 1)

    def replace(self, data: Data, params: Params) -> bool:
        """Take other trials of the same shape, and return True; False: another engine is needed for them."""
        return False

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.length)

    def batch(self, index: np.ndarray, draws: list[Draws] | None = None, progress: float = 0.0) -> Batch:
        """Trials `index` (member, trial), cut after the longest of them."""
        return Batch(index, int(self.length[index].max()), draws or [], progress)

    def prepare(self, p: Params) -> None:
        """Derive what all segments of a step share from the parameters `p`."""
        raise NotImplementedError

    def start(self, batch: Batch) -> State:
        """Return the states before the first bin, (..., trial, size)."""
        raise NotImplementedError

    def segment(
        self, batch: Batch, state: State, first: int, stop: int, scored: int, d_final: Any, keep: set[int]
    ) -> Segment:
        """Return the loss of bins scored..stop from the states before `first`; gradients are added up.

        `keep`: bins whose states are kept.
        """
        raise NotImplementedError

    def advance(self, batch: Batch, state: State, first: int, stop: int) -> State:
        """Return the states before bin `stop` from those before bin `first`, without a gradient."""
        raise NotImplementedError

    def whole(self, p: Params, batch: Batch) -> np.ndarray:
        """Full backpropagation: loss in nats (member,), the gradients are added to p[name].grad."""
        self.prepare(p)
        done = self.segment(batch, self.start(batch), 0, batch.stop, 0, None, set())
        self.finish(done.d_state)
        return done.loss

    def loss(self, batch: Batch) -> np.ndarray:
        """Return the negative log-likelihood of whole trials in nats, (member,), without a gradient."""
        raise NotImplementedError

    def finish(self, d_start: State | None) -> None:
        """Add the gradients of all segments, and of the first states, to p[name].grad."""
        raise NotImplementedError
