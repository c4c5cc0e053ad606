"""Hand-written backpropagation through time on one CPU core, for one member.

Input products are hoisted out of the loop over time and sparse where the input is; weight gradients are
single products over all bins; read-out, likelihood and their gradient are one pass, over blocks of bins that
stay in the cache. The parameters' own transformations (`derive`, `start`) stay with autograd.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cortseq.compiled import matrix, projection
from cortseq.compiled.vectors import aligned
from cortseq.data import Data, Params
from cortseq.networks.network import Network
from cortseq.networks.training import noise
from cortseq.networks.training.engines.base import Batch, Engine, Segment, State, accumulate
from cortseq.networks.training.engines.events import Events
from cortseq.networks.training.kernels import heads
from cortseq.networks.training.kernels.layers import Drop, Layers
from cortseq.networks.training.settings import Training

BLOCK = 360_000  # numbers in the widest array of a block, bins x trials x units: what the cache holds
SPARSE = 0.2  # density of the input from which one dense product is faster
_NO_WORDS = np.zeros((1, 1, 1), np.uint16)


class Prepared(Engine):
    """The trials of one role as the arrays that kernels read, made once before learning."""

    def __init__(self, network: Network, data: Data, params: Params, training: Training):
        super().__init__(network, data, training)
        self.dtype = params["readout_weight"].numpy().dtype
        self.n_time = data.y.shape[1]
        self.mask = np.ascontiguousarray(data.counted.T.astype(self.dtype))
        self.sparse: Events | None = None
        self.dense: Any = None
        self.standard: Any = self._standard(data, params) if data.kind.has_scale else None
        self.target, self.known = self._innovation(data, params)
        self.symbols: Any = np.ascontiguousarray(data.y.T) if data.kind.has_labels else None
        self.seen: Any = None if data.kind.has_scale else Events.of(data, self.dtype)
        self._inputs(data, params)
        if data.kind.has_events:  # those of bins that do not count are not looked at
            smallest = np.min_scalar_type(int(data.y.max(initial=0)))
            self.counts = np.ascontiguousarray(data.y, smallest)
        self.constant = self._constant(data, params)
        self.buffers: dict[str, np.ndarray] = {}

    def _inputs(self, data: Data, params: Params) -> None:
        """Set `sparse`, or `dense` (time, trial, input), to what the network sees, recorded inputs last."""
        read = self.network.seen({name: value[0] for name, value in params.items()}, data)
        events = self.seen if read is data else Events.of(read, self.dtype)
        few = not read.kind.has_scale and len(events.unit) < SPARSE * read.valid.size * read.n_features
        recorded = None if data.inputs is None else np.roll(data.inputs, -1, axis=1)
        if read.kind.has_scale:
            seen = self.standard.swapaxes(0, 1)
        elif "count_scale" in params and read is data:
            centre, scale = (params[k][0].numpy() for k in ("count_centre", "count_scale"))
            seen = np.where(read.valid[..., None], (read.y - centre) / scale, 0)
        elif few and not self.training.input_noise:
            self.sparse = events
            if recorded is not None:
                self.sparse = events.beside(_rows(recorded), read.n_features)
            return
        elif read is data and data.y.dtype.kind == "u" and recorded is None:
            return  # compact counts: those of a batch are taken when it is made
        else:
            seen = np.where(read.valid[..., None], read.kind.encoded(read.y, read.n_features), 0)
        blocks = [seen] if recorded is None else [seen, recorded]
        self.dense = np.ascontiguousarray(np.concatenate(blocks, -1).swapaxes(0, 1).astype(self.dtype))

    def _standard(self, data: Data, params: Params) -> np.ndarray:
        """Standardised signals (time, trial, channel), 0 where a bin is missing."""
        mean, scale = (params[k][0].numpy() for k in ("signal_mean", "signal_scale"))
        standard = np.where(data.valid[..., None], (data.y - mean) / scale, 0).astype(self.dtype)
        return np.ascontiguousarray(standard.swapaxes(0, 1))

    def _innovation(self, data: Data, params: Params) -> tuple[Any, Any]:
        """Target of the read-out, (time, trial, channel): signals less what the skip says; where it knew."""
        known = np.ones((self.n_time, len(self)), bool)
        if "skip" not in params:
            return self.standard, known
        known[0], known[1:] = False, data.valid.T[:-1]
        target = self.standard.copy()
        target[1:] -= params["skip"][0].numpy() * self.standard[:-1]  # 0 where a bin is missing
        return target, known

    def _constant(self, data: Data, params: Params) -> np.ndarray:
        """Return the part of the loss without a read-out, (time, trial); 0 in bins that do not count."""
        p = {name: value[0].double() for name, value in params.items()}
        found = np.zeros(data.valid.shape)
        for trials, block in data.blocks():
            y = torch.as_tensor(block.y[block.counted]).double()
            found[trials][block.counted] = self.network.observation.constant(p, y).numpy()
        return np.ascontiguousarray(found.T)

    def _scored(self, batch: Batch, first: int, stop: int, scored: int) -> tuple[np.ndarray, float]:
        """Mask (time, trial) of the valid bins that are not before `scored`, and their constant."""
        mask = np.ascontiguousarray(self.mask[first:stop, batch.index[0]])
        mask[: max(scored - first, 0)] = 0
        return mask, float((self.constant[first:stop, batch.index[0]] * mask).sum())

    def _dense(self, batch: Batch, first: int, stop: int) -> np.ndarray:
        """Dense inputs (time, trial, input) with noise and dropout."""
        x = self._seen(batch.index[0], first, stop)
        shape = (batch.index.shape[1], self.n_time, x.shape[-1])
        if batch.draws and self.training.input_noise:
            normal = batch.draws[0].normal(noise.NOISE, shape)[:, first:stop]
            x += self.training.input_noise * normal.swapaxes(0, 1).astype(self.dtype)
        if batch.draws and self.training.input_dropout:
            cut, scale = noise.threshold(self.training.input_dropout)
            words = batch.draws[0].words(noise.INPUT, shape)[:, first:stop]
            x *= (words.swapaxes(0, 1) >= cut) * self.dtype.type(scale)
        return x

    def _seen(self, trials: Any, first: int, stop: int) -> np.ndarray:
        """Return what the network sees of some trials (trial,), a copy (time, trial, input)."""
        if self.dense is not None:
            return np.ascontiguousarray(self.dense[first:stop, trials])
        valid = self.data.valid[trials, first:stop, None]
        counts = np.where(valid, self.counts[trials, first:stop], 0)
        return np.ascontiguousarray(counts.swapaxes(0, 1), self.dtype)

    def _dropped(self, batch: Batch, n_in: int) -> tuple[np.ndarray, int, float]:
        """Random words, threshold and scale of input dropout for the sparse inputs."""
        if not batch.draws or not self.training.input_dropout:
            return _NO_WORDS, 0, self.dtype.type(1)
        words = batch.draws[0].words(noise.INPUT, (batch.index.shape[1], self.n_time, n_in))
        cut, scale = noise.threshold(self.training.input_dropout)
        return words, cut, self.dtype.type(scale)

    def _hidden_dropped(
        self, batch: Batch, purpose: int, first: int, units: np.ndarray, name: str | None
    ) -> np.ndarray:
        """Return units (time, trial, hidden) from bin `first` on, with dropout where the batch has any.

        They are written to the buffer `name`, or in place without one. `purpose`: of the random words.
        """
        if not batch.draws or not self.training.hidden_dropout:
            return units
        shape = (batch.index.shape[1], self.n_time, units.shape[-1])
        cut, scale = noise.threshold(self.training.hidden_dropout)
        words = batch.draws[0].words(purpose, shape)
        out = units if name is None else self._buffer(name, units.shape)
        projection.drop(units, first, words, cut, self.dtype.type(scale), out)
        return out

    def _buffer(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a contiguous array that is used again: fresh pages cost more than computing in them."""
        n = math.prod(shape)
        if name not in self.buffers or self.buffers[name].size < n:
            self.buffers[name] = aligned((n,), self.dtype)
        return self.buffers[name][:n].reshape(shape)


class Compiled(Prepared):
    """See `cortseq.networks.training.engines`."""

    name = "compiled"

    # -- the contract -----------------------------------------------------------------------------

    def prepare(self, p: Params) -> None:
        """Derive the parameters, pack the matrices, and set all gradients to 0."""
        self.p = p
        with torch.enable_grad():
            self.derived = self.network.cell.derive(p)
            self.started = self.network.cell.start(self.derived)
        self.q = {name: value.detach().contiguous().numpy() for name, value in self.derived.items()}
        self.layers = Layers(self.network.cell, self.q)
        self.columns = matrix.packed(self.q["input_weight"].T)
        self.readout = matrix.packed(self.q["readout_weight"])
        self.readout_columns = matrix.packed(self.q["readout_weight"].T)
        names = (*self.layers.names, "readout_weight", "readout_bias", "log_sd", "log_dispersion")
        self.grads = {name: np.zeros(self.q[name].shape, self.dtype) for name in names if name in self.q}
        self.dispersed = None
        if self.data.kind.has_events and (self.data.observation != "poisson" or self.network.mixture > 1):
            self.dispersed = heads.Dispersed(self.data, self.network.mixture, self.q.get("log_dispersion"))
        if self.sparse is not None:
            self.d_columns = aligned(self.columns.shape, self.dtype)
            self.d_columns[:] = 0
        else:
            self.grads["input_weight"] = np.zeros(self.q["input_weight"].shape, self.dtype)

    def start(self, batch: Batch) -> State:
        """Return the states before the first bin, each (trial, size)."""
        n = batch.index.shape[1]
        return tuple(np.repeat(s.detach().numpy()[None], n, 0) for s in self.started)

    def segment(
        self, batch: Batch, state: State, first: int, stop: int, scored: int, d_final: Any, keep: set[int]
    ) -> Segment:
        """Run forward once, then read-out, loss and gradient block by block from the last one."""
        with _flushed_denormals():
            states, z = self._forward(batch, state, first, stop, d_final is None and stop not in keep)
            d_states = [np.zeros(s.shape, self.dtype) for s in state] if d_final is None else list(d_final)
            mask, loss = self._scored(batch, first, stop, scored)
            for block in reversed(self._blocks(batch, stop - first)):
                eta, out = self._read(batch, states, first, block)
                loss += self._head(batch, eta, first, block, mask[block])
                self._backward(batch, first, block, states, z, eta, out, d_states)
        kept = {bin: tuple(s[bin - first].copy() for s in states) for bin in keep if first <= bin <= stop}
        return Segment(np.array([loss]), tuple(d_states), kept)

    def advance(self, batch: Batch, state: State, first: int, stop: int) -> State:
        """Run forward and keep the last states."""
        with _flushed_denormals():
            return tuple(s[-1].copy() for s in self._forward(batch, state, first, stop, False)[0])

    def loss(self, batch: Batch) -> np.ndarray:
        """Return the loss in nats of whole trials, (1,)."""
        with _flushed_denormals():
            states, _ = self._forward(batch, self.start(batch), 0, batch.stop, True)
            mask, loss = self._scored(batch, 0, batch.stop, 0)
            for block in self._blocks(batch, batch.stop):
                loss += self._head(batch, self._read(batch, states, 0, block)[0], 0, block, mask[block])
            return np.array([loss])

    def finish(self, d_start: State | None) -> None:
        """Pass the gradients by the derived parameters on to those that are learned."""
        if self.sparse is not None:
            self.grads["input_weight"] = matrix.unpacked(self.d_columns, len(self.q["bias"])).T.copy()
        ends = [self.derived[name] for name in self.grads] + list(self.started)
        grads = [*self.grads.values(), *(d.sum(0) for d in d_start or ())]
        later: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        for value, grad in zip(ends, grads, strict=True):
            if not value.requires_grad:
                continue
            grad = torch.from_numpy(grad).reshape(value.shape)
            if value.is_leaf:  # passed through by `derive`: no graph to walk
                value.grad = grad if value.grad is None else value.grad.add_(grad)
            else:
                later[0].append(value)
                later[1].append(grad)
        if later[0]:
            accumulate(*later, self.p)

    # -- blocks of bins ---------------------------------------------------------------------------

    def _blocks(self, batch: Batch, n_time: int) -> list[slice]:
        """Stretches of bins whose arrays stay in the cache between one pass and the next."""
        width = max(self.network.cell.hidden, self.data.n_features)
        size = max(1, BLOCK // (width * batch.index.shape[1]))
        return [slice(first, min(first + size, n_time)) for first in range(0, n_time, size)]

    def _forward(
        self, batch: Batch, state: State, first: int, stop: int, skip_last: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the states (time + 1, trial, size) before each bin and at `stop`, and the activations.

        The activations z (time, trial, gate) are those of each layer, the bottom one first.
        """
        n_time, n = stop - first, batch.index.shape[1]
        n_steps = n_time - 1 if skip_last else n_time
        shape = (n_time, n, self.layers.width)
        z = [self._buffer(f"z{at}", shape)[:n_steps] for at in range(len(self.layers.kernels))]
        states = [self._buffer(f"state{i}", (n_time + 1, n, s.shape[-1])) for i, s in enumerate(state)]
        for buffer, s in zip(states, state, strict=True):
            buffer[0] = s
        self.x: Any = None if self.sparse is not None else self._dense(batch, first, stop)
        for block in self._blocks(batch, n_time):
            drives = [one[block] for one in z]
            self._project(batch, drives[0], first, block)
            self.layers.forward(_used(states, drives[0], block), drives, self._between(batch, first, block))
        return states, z

    def _between(self, batch: Batch, first: int, block: slice) -> Drop:
        """Return the dropout between layers in a block of bins."""
        return lambda place, units, name: self._hidden_dropped(
            batch, noise.BETWEEN + place, first + block.start, units, name
        )

    def _project(self, batch: Batch, z: np.ndarray, first: int, block: slice) -> None:
        """Set z to U x + b."""
        if self.sparse is None:
            matrix.multiply(_rows(self.x[block][: len(z)]), self.columns, _rows(z))
            z += self.q["bias"]
            return
        s, rows = self.sparse, batch.index[0] * self.n_time
        dropped = self._dropped(batch, self.columns.shape[1])
        first = first + block.start
        projection.project(s.indptr, s.unit, s.value, rows, first, *dropped, self.columns, self.q["bias"], z)

    def _read(
        self, batch: Batch, states: list[np.ndarray], first: int, block: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the read-out without its bias, (row, feature), and what it saw."""
        out = self._hidden_dropped(batch, noise.HIDDEN, first + block.start, states[0][block], "dropped")
        eta = self._buffer("eta", (out.shape[0] * out.shape[1], len(self.q["readout_weight"])))
        matrix.multiply(_rows(out), self.readout_columns, eta)
        return eta, _rows(out)

    def _head(self, batch: Batch, eta: np.ndarray, first: int, block: slice, mask: np.ndarray) -> float:
        """Return the loss of a block's bins in `mask`, without its constant; eta becomes its gradient."""
        trials, bins = batch.index[0], slice(first + block.start, first + block.stop)
        common = (eta, self.q["readout_bias"], self.grads["readout_bias"], mask)
        if self.data.kind.has_events:
            if self.dispersed is not None:
                e = self.seen
                events = e.indptr, e.unit, e.value, trials * self.n_time, bins.start
                return self.dispersed(*common, *events, self.grads.get("log_dispersion"))
            return float(heads.poisson(*common, self.counts, trials, bins.start))
        if self.data.kind.has_labels:
            return float(heads.categorical(*common, np.ascontiguousarray(self.symbols[bins, trials])))
        target = np.ascontiguousarray(self.target[bins, trials])
        known = np.ascontiguousarray(self.known[bins, trials])
        return float(heads.gaussian(*common, target, known, self.q["log_sd"], self.grads["log_sd"]))

    def _backward(
        self,
        batch: Batch,
        first: int,
        block: slice,
        states: list[np.ndarray],
        z: list[np.ndarray],
        eta: np.ndarray,
        out: np.ndarray,
        d_states: list[np.ndarray],
    ) -> None:
        """Add up the gradients of one block; d_states goes from its last state to its first."""
        grads, drives = self.grads, [one[block] for one in z]
        drive = drives[0]
        matrix.add_transposed(grads["readout_weight"], eta, out)
        d_out = self._buffer("d_out", (len(eta) // drive.shape[1], *states[0].shape[1:]))
        matrix.multiply(eta, self.readout, _rows(d_out))
        self._hidden_dropped(batch, noise.HIDDEN, first + block.start, d_out, None)
        if len(d_out) > len(drive):  # the last bin is read out but not stepped from
            d_states[0] += d_out[-1]
        if not len(drive):
            return
        used, drop = _used(states, drive, block), self._between(batch, first, block)
        self.layers.backward(used, drives, d_out[: len(drive)], d_states, grads, drop, self._buffer)
        if self.sparse is None:
            matrix.add_transposed(grads["input_weight"], _rows(drive), _rows(self.x[block][: len(drive)]))
            return
        s, rows = self.sparse, batch.index[0] * self.n_time
        dropped = self._dropped(batch, self.columns.shape[1])
        projection.project_gradient(
            s.indptr, s.unit, s.value, rows, first + block.start, *dropped, drive, self.d_columns
        )


def _used(states: list[np.ndarray], drive: np.ndarray, block: slice) -> list[np.ndarray]:
    """Return the states before each bin that is stepped from in a block, and after the last."""
    return [s[block.start : block.start + len(drive) + 1] for s in states]


def _rows(array: np.ndarray) -> np.ndarray:
    """(time, trial, size) as (row, size)."""
    return array.reshape(-1, array.shape[-1])


@contextlib.contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as zero: a silent unit decays into them, and they are 10 times slower."""
    already = float(np.float32(1e-39) * np.float32(1)) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
