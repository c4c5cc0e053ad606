"""Automatic differentiation of every family, on every device, with every strategy, of one or all members."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.networks.network import Network, before
from cortseq.networks.training import noise
from cortseq.networks.training.engines.base import Batch, Engine, Segment, State, accumulate
from cortseq.networks.training.settings import Training
from cortseq.networks.training.strategies import Rollout


class Generic(Engine):
    """See `cortseq.networks.training.engines`. One member's tensors have no member axis: faster on a CPU."""

    name = "generic"

    def __init__(
        self,
        network: Network,
        data: Data,
        params: Params,
        training: Training,
        device: str = "cpu",
        strategy: Any = None,
    ):
        super().__init__(network, data, training)
        self.device, self.strategy, self.observation = device, strategy, network.observation
        self.dtype = params["readout_weight"].dtype
        self.x, self.y, self.mask, self.counted, self.last = self._trials(data, params)

    def _trials(
        self, data: Data, params: Params
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return inputs, observations, masks of known and of scored bins, what a skip sees: on the device."""
        p = {name: value[0] for name, value in params.items()}
        x, y, mask = self.network.tensors(p, data, slice(None), self.dtype)
        last = before(p, x, mask)
        counted = torch.as_tensor(data.counted).to(self.device, self.dtype)
        x, y, mask = x.to(self.device), y.to(self.device), mask.to(self.device, self.dtype)
        return x, y, mask, counted, None if last is None else last.to(self.device)

    # -- the contract -----------------------------------------------------------------------------

    def prepare(self, p: Params) -> None:
        """Cut the graph at the derived parameters, so that several segments add up their gradients there."""
        self.p = p
        with torch.enable_grad():
            self.derived = self.network.cell.derive(p)
            self.q = {name: _leaf(value) for name, value in self.derived.items()}
            self.started = self.network.cell.start(self.derived)

    def start(self, batch: Batch) -> State:
        """Return the states before the first bin; (trial, size) where there is one member."""
        shape = batch.index.shape if batch.index.shape[0] > 1 else batch.index.shape[1:]
        parts = tuple(s.detach().unsqueeze(-2).expand(*shape, s.shape[-1]) for s in self.started)
        return (*parts, self._before(batch, 0, 1)[..., 0, :]) if self._feeds_skip(batch) else parts

    def _feeds_skip(self, batch: Batch) -> bool:
        """Whether the skip sees what a strategy fed, which is then the last part of the state."""
        return self._feeds(batch) and self.last is not None

    def _feeds(self, batch: Batch) -> bool:
        """Whether a strategy makes the inputs: one that forces the state also where nothing is drawn."""
        return self.strategy is not None and (self.strategy.inverts or bool(batch.draws))

    def segment(
        self, batch: Batch, state: State, first: int, stop: int, scored: int, d_final: Any, keep: set[int]
    ) -> Segment:
        """Run forward, and back to the first states."""
        state = tuple(s.detach().requires_grad_() for s in state)
        wanted = keep if d_final is None else keep | {stop}
        eta, final, kept = self._run(batch, state, first, stop, wanted)
        loss = self._loss(batch, eta, first, stop, scored)
        roots, grads = [loss.sum()], [None]
        if d_final is not None:
            behind = [pair for pair in zip(final, d_final, strict=True) if pair[0].requires_grad]
            roots += [root for root, _ in behind]  # a draw that was fed has no derivative
            grads += [grad for _, grad in behind]
        torch.autograd.backward(roots, grads)
        d_state = tuple(torch.zeros_like(s) if s.grad is None else s.grad for s in state)
        return Segment(_numpy(loss), d_state, kept)

    def advance(self, batch: Batch, state: State, first: int, stop: int) -> State:
        """Run forward and keep the last states."""
        with torch.no_grad():
            return self._run(batch, state, first, stop, {stop})[1]

    def loss(self, batch: Batch) -> np.ndarray:
        """Return the loss in nats of whole trials, (member,)."""
        with torch.no_grad():
            eta = self._run(batch, self.start(batch), 0, batch.stop, set())[0]
            return _numpy(self._loss(batch, eta, 0, batch.stop, 0))

    def finish(self, d_start: State | None) -> None:
        """Pass the gradients by the derived parameters and first states on to those that are learned."""
        ends, grads = [], []
        for value, leaf in zip(self.derived.values(), self.q.values(), strict=True):
            if value.requires_grad and leaf.grad is not None:
                ends.append(value)
                grads.append(leaf.grad)
        # a skip's part at bin 0 depends on no parameter
        for value, grad in zip(self.started, (d_start or ())[: len(self.started)], strict=True):
            if value.requires_grad:
                ends.append(value)
                grads.append(grad.sum(-2))
        accumulate(ends, grads, self.p)

    # -- the loop over time -----------------------------------------------------------------------

    def _run(
        self, batch: Batch, state: State, first: int, stop: int, keep: set[int]
    ) -> tuple[torch.Tensor, State, dict[int, State]]:
        """Read-outs eta of bins first..stop, the states at `stop`, detached states at the bins `keep`.

        Where a strategy feeds the skip, its input is the last part of every state (`start`).
        """
        network, cell, q = self.network, self.network.cell, self.q
        x, y, mask = self._window(batch, first, stop)
        factors = self._kept(batch, noise.HIDDEN, cell.hidden, self.training.hidden_dropout, first, stop)
        between = self._between(batch, first, stop)
        if not self._feeds(batch):
            drives = network.drive(q, x)
            ran = cell.through_time(q, state, drives, between)
            if ran is not None:
                return self._read(batch, ran, factors, first, stop, keep)
            rollout, ahead = None, drives.unbind(-2)  # the gradient of an index is a whole array of zeros
        else:
            state, fed = (state[:-1], state[-1]) if self._feeds_skip(batch) else (state, None)
            rollout, ahead = Rollout(self, batch, first, stop, x, y, mask, fed), ()
        outs: list[torch.Tensor] = []
        kept: dict[int, State] = {}
        for t in range(stop - first):
            if first + t in keep:
                kept[first + t] = tuple(s.detach() for s in _carried(state, rollout))
            out = cell.output(q, state)
            outs.append(out if factors is None else out * factors[..., t, :])
            if first + t + 1 == stop and stop not in keep:
                break
            state, drive = (state, ahead[t]) if rollout is None else rollout.step(t, state, outs[-1])
            state = cell.dropped_step(q, state, drive, [factor[..., t, :] for factor in between])
        last = self._before(batch, first, stop) if rollout is None else rollout.lasts(stop - first)
        state = _carried(state, rollout)
        if stop in keep:
            kept[stop] = tuple(s.detach() for s in state)
        return network.readout(q, torch.stack(outs, -2), last), state, kept

    def _read(
        self, batch: Batch, ran: State, factors: torch.Tensor | None, first: int, stop: int, keep: set[int]
    ) -> tuple[torch.Tensor, State, dict[int, State]]:
        """Return what `_run` does, from states of all bins at once, parts (..., trial, time + 1, size)."""
        out = self.network.cell.output(self.q, tuple(part[..., :-1, :] for part in ran))
        out = out if factors is None else out * factors
        inside = keep.intersection(range(first, stop + 1))
        kept = {t: tuple(part[..., t - first, :].detach() for part in ran) for t in inside}
        eta = self.network.readout(self.q, out, self._before(batch, first, stop))
        return eta, tuple(part[..., -1, :] for part in ran), kept

    def _between(self, batch: Batch, first: int, stop: int) -> list[torch.Tensor]:
        """Return dropout's factors (..., trial, time, size) of what layers hand on; nothing without any."""
        p, places = self.training.hidden_dropout, enumerate(self.network.cell.places)
        found = [self._kept(batch, noise.BETWEEN + i, width, p, first, stop) for i, width in places]
        return [factors for factors in found if factors is not None]

    def _loss(self, batch: Batch, eta: torch.Tensor, first: int, stop: int, scored: int) -> torch.Tensor:
        _, y, mask = self._window(batch, first, stop, False)
        log_prob = self.observation.log_prob(self.q, eta, y) * mask
        return -log_prob[..., scored - first :].sum((-2, -1)).reshape(len(batch.index))

    def _window(
        self, batch: Batch, first: int, stop: int, inputs: bool = True
    ) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """Return x, y and mask of bins first..stop, without `inputs` y and the mask of scored bins.

        Dropout and noise are on the inputs where the batch has draws.
        """
        rows = torch.as_tensor(batch.index, device=self.device)
        rows = rows[0] if len(rows) == 1 else rows
        y, mask = self.y[rows, first:stop], (self.mask if inputs else self.counted)[rows, first:stop]
        if not inputs:
            return None, y, mask
        x, training = self.x[rows, first:stop], self.training
        if batch.draws and training.input_noise:
            x = x + training.input_noise * self._normal(batch, x.shape[-1], first, stop)
        kept = self._kept(batch, noise.INPUT, x.shape[-1], training.input_dropout, first, stop)
        return (x if kept is None else x * kept), y, mask

    def _before(self, batch: Batch, first: int, stop: int) -> Any:
        """Return what the skip of the read-out sees at bins first..stop, if there is one: never dropped."""
        if self.last is None:
            return None
        rows = torch.as_tensor(batch.index, device=self.device)
        return self.last[rows[0] if len(rows) == 1 else rows, first:stop]

    def _kept(
        self, batch: Batch, purpose: int, width: int, probability: float, first: int, stop: int
    ) -> torch.Tensor | None:
        """Return dropout's factors (..., trial, time, width): 0 or what keeps the mean."""
        if probability == 0 or not batch.draws:
            return None
        cut, scale = noise.threshold(probability)
        shape = (batch.index.shape[1], self.x.shape[1], width)
        words = np.stack([d.words(purpose, shape)[:, first:stop] for d in batch.draws])
        return self._tensor((words >= cut) * scale)

    def _normal(self, batch: Batch, width: int, first: int, stop: int) -> torch.Tensor:
        shape = (batch.index.shape[1], self.x.shape[1], width)
        return self._tensor(np.stack([d.normal(noise.NOISE, shape)[:, first:stop] for d in batch.draws]))

    def _tensor(self, stacked: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(stacked[0] if len(stacked) == 1 else stacked, dtype=self.dtype).to(self.device)


def _carried(state: State, rollout: Rollout | None) -> State:
    """Return the cell's state, and behind it what a rollout fed to the skip."""
    return state if rollout is None or rollout.last[-1] is None else (*state, rollout.last[-1])


def _leaf(value: Any) -> Any:
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def _numpy(loss: torch.Tensor) -> np.ndarray:
    return loss.detach().double().cpu().numpy()
