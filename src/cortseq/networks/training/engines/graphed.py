"""All members at once on a GPU, the whole step as one CUDA graph.

A loop over time launches thousands of small kernels, and their launching is what takes the time. Here one
step (gather, forward, backward) is recorded once with all members batched, and then replayed as a unit.
Shapes are therefore fixed: trials are not cut, and a batch that is too small is filled up with weight 0.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.networks.network import Network
from cortseq.networks.training import noise
from cortseq.networks.training.engines.base import Batch
from cortseq.networks.training.engines.generic import Generic
from cortseq.networks.training.settings import Training

UNRECORDED = ", not recorded"  # ends the execution of a fit whose step could not be recorded
_WARM_UP = 3  # runs before recording, in which libraries choose their algorithms
Step = Callable[[], torch.Tensor]  # () -> loss in nats, (member,)


class Graphed(Generic):
    """See `cortseq.networks.training.engines`.

    Random numbers come from generators on the device, one a member, so that a member equals its solo fit.
    """

    name = "graphed"

    def __init__(self, network: Network, data: Data, params: Params, training: Training, device: str):
        super().__init__(network, data, params, training, device)
        self.n_members = len(params["readout_bias"])
        self.generators = self._seedless()
        self.recorded: dict[tuple[bool, bool], tuple[torch.Tensor, torch.Tensor, Step]] = {}

    def _seedless(self) -> list[torch.Generator]:
        return [torch.Generator(self.device) for _ in range(self.n_members)]

    def replace(self, data: Data, params: Params) -> bool:
        """Copy other trials of the same shape to where the recorded step reads, and return True."""
        self._count(data)
        mine = (self.x, self.y, self.mask, self.counted, self.last)
        for old, new in zip(mine, self._trials(data, params), strict=True):
            if old is not None and new is not None:
                old.copy_(new)
        return True

    def whole(self, p: Params, batch: Batch) -> np.ndarray:
        """Replay a step with its gradients, and return the loss in nats, (member,)."""
        self.p = p
        return self._replay(batch, learning=True)

    def prepare(self, p: Params) -> None:
        """Keep the parameters: what is derived from them is part of the recorded step."""
        self.p = p

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
        for generator, draws in zip(self.generators, batch.draws, strict=False):
            generator.manual_seed(draws.integer(noise.INPUT))
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
            self._forget()
            return loss.detach()

        on_device = torch.device(self.device).type == "cuda"
        return rows, weight, self._captured(step) if on_device else step

    def _forget(self) -> None:
        """Let go of what a step derived: autograd would use its nodes, and their stream, in the next one."""
        self.derived, self.q, self.started = {}, {}, ()

    def _captured(self, step: Step) -> Step:
        """`step` as a CUDA graph; run as it is, with a warning, where it cannot be recorded.

        A fit that fell back has the execution `UNRECORDED` on its card. Memory that does not suffice is an
        error: the step as it is needs as much.
        """
        with torch.cuda.device(self.device), _gradients_kept(self.p):
            stream = torch.cuda.current_stream()
            try:
                return recorded(step, self.generators)
            except RuntimeError as error:
                torch.cuda.set_stream(stream)  # an error while recording leaves the one that recorded
                torch.cuda.synchronize()
                self._forget()
                self.generators = self._seedless()  # those of a broken recording still count themselves in it
                if any(isinstance(e, torch.cuda.OutOfMemoryError) for e in (error, error.__context__)):
                    raise
                warnings.warn(f"the training step is not recorded as a CUDA graph: {error}", stacklevel=2)
                self.name = type(self).name + UNRECORDED
                return step

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
        uniform = self._drawn(torch.rand, batch, (stop - first, width), torch.float32)
        return (uniform >= probability).to(self.dtype) / (1 - probability)

    def _normal(self, batch: Batch, width: int, first: int, stop: int) -> torch.Tensor:
        return self._drawn(torch.randn, batch, (stop - first, width), self.dtype)

    def _drawn(self, draw: Any, batch: Batch, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """Random numbers (..., trial, *shape) of `draw`, which is torch's: each member's from its own."""
        n_members, n_trials = batch.index.shape
        found = [
            draw((n_trials, *shape), generator=generator, device=self.device, dtype=dtype)
            for generator in self.generators[:n_members]
        ]
        return found[0] if n_members == 1 else torch.stack(found)


@contextlib.contextmanager
def _gradients_kept(p: Params) -> Iterator[None]:
    """Give the gradients of `p` back the values they had: trial runs add theirs."""
    gradients = [value.grad for value in p.values() if value.grad is not None]
    before = [gradient.clone() for gradient in gradients]
    try:
        yield
    finally:
        for gradient, value in zip(gradients, before, strict=True):
            gradient.copy_(value)


def recorded(step: Step, generators: list[torch.Generator]) -> Step:
    """Return a function that replays `step` from a CUDA graph, its random numbers those of `generators`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return loss

    return replay
