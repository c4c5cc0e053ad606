"""All members at once on a GPU, the whole step as one CUDA graph.

A loop over time launches thousands of small kernels, and their launching is what takes the time. Here one
step (gather, forward, backward) is recorded once with all members batched, and then replayed as a unit.
Shapes are therefore fixed: trials are not cut, and a batch that is too small is filled up with weight 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.networks.network import Network
from cortseq.networks.training import noise
from cortseq.networks.training.engines.base import Batch
from cortseq.networks.training.engines.generic import Generic
from cortseq.networks.training.settings import Training

_WARM_UP = 3  # runs before recording, in which libraries choose their algorithms
Step = Callable[[], torch.Tensor]  # () -> loss in nats, (member,)


class Graphed(Generic):
    """See `cortseq.networks.training.engines`. Random numbers come from a generator on the device."""

    name = "graphed"

    def __init__(self, network: Network, data: Data, params: Params, training: Training, device: str):
        super().__init__(network, data, params, training, device)
        self.generator = torch.Generator(device)
        self.recorded: dict[tuple[bool, bool], tuple[torch.Tensor, torch.Tensor, Step]] = {}

    def whole(self, p: Params, batch: Batch) -> np.ndarray:
        """Replay a step with its gradients, and return the loss in nats, (member,)."""
        self.p = p
        return self._replay(batch, learning=True)

    def prepare(self, p: Params) -> None:
        """Keep the parameters: what is derived from them is part of the recorded step."""
        self.p = p  # what is derived from them is part of the step

    def loss(self, batch: Batch) -> np.ndarray:
        """Replay a step without gradients, and return the loss in nats, (member,)."""
        return self._replay(batch, learning=False)

    def _replay(self, batch: Batch, learning: bool) -> np.ndarray:
        n, key = batch.index.shape[1], (learning, bool(batch.draws))
        if key not in self.recorded or self.recorded[key][0].shape[1] < n:
            self.recorded[key] = self._record(batch.index.shape, *key)
        rows, weight, run = self.recorded[key]
        filled = np.zeros(rows.shape, np.int64)
        filled[:, :n] = batch.index
        rows.copy_(torch.from_numpy(filled))
        weight.fill_(0.0)
        weight[:, :n] = 1.0
        if batch.draws:
            self.generator.manual_seed(batch.draws[0].integer(noise.INPUT))
        return np.asarray(run().double().cpu().numpy())

    def _record(
        self, shape: tuple[int, ...], learning: bool, noisy: bool
    ) -> tuple[torch.Tensor, torch.Tensor, Step]:
        """Buffers for the trials and their weights, and a function that runs one step on what they hold."""
        rows = torch.zeros(shape, dtype=torch.int64, device=self.device)
        weight = torch.ones(shape, dtype=self.dtype, device=self.device)
        # the draws only say that noise is on: numbers come from the device's generator
        batch = Batch(rows, self.x.shape[1], [noise.Draws(0, 0, 0, 0)] if noisy else [])

        def step() -> torch.Tensor:
            self.weight = weight
            Generic.prepare(self, self.p)
            state = tuple(s.requires_grad_() for s in self.start(batch))
            with torch.set_grad_enabled(learning):
                eta = self._run(batch, state, 0, batch.stop, set())[0]
                loss = self._loss(batch, eta, 0, batch.stop, 0)
            if learning:
                loss.sum().backward()
                self.finish(tuple(s.grad for s in state))
            return loss.detach()

        return rows, weight, self._captured(step) if self.device == "cuda" else step

    def _captured(self, step: Step) -> Step:
        """`step` as a CUDA graph; run as it is, with a warning, where it cannot be recorded."""
        gradients = [p.grad for p in self.p.values() if p.grad is not None]
        before = [g.clone() for g in gradients]
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self.generator)
            with torch.cuda.graph(graph):
                loss = step()
        except RuntimeError as error:
            warnings.warn(f"the training step is not recorded as a CUDA graph: {error}", stacklevel=2)
            return step
        finally:
            for gradient, value in zip(gradients, before, strict=True):
                gradient.copy_(value)  # the trial runs added theirs

        def replay() -> torch.Tensor:
            graph.replay()
            return loss

        return replay

    # -- what differs inside a step ---------------------------------------------------------------

    def _window(
        self, batch: Batch, first: int, stop: int, inputs: bool = True
    ) -> tuple[Any, torch.Tensor, torch.Tensor]:
        x, y, mask = super()._window(batch, first, stop, inputs)
        if isinstance(batch.index, torch.Tensor):
            weight = self.weight[0] if len(self.weight) == 1 else self.weight
            mask = mask * weight.unsqueeze(-1)
        return x, y, mask

    def _kept(
        self, batch: Batch, purpose: int, width: int, probability: float, first: int, stop: int
    ) -> torch.Tensor | None:
        if probability == 0 or not batch.draws:
            return None
        uniform = torch.rand(
            self._shape(batch, width, first, stop), generator=self.generator, device=self.device
        )
        return (uniform >= probability).to(self.dtype) / (1 - probability)

    def _normal(self, batch: Batch, width: int, first: int, stop: int) -> torch.Tensor:
        shape = self._shape(batch, width, first, stop)
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=self.dtype)

    def _shape(self, batch: Batch, width: int, first: int, stop: int) -> tuple[int, ...]:
        members = () if batch.index.shape[0] == 1 else (batch.index.shape[0],)
        return (*members, batch.index.shape[1], stop - first, width)
