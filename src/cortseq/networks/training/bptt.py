"""Backpropagation through time over a batch of trials: full, truncated, checkpointed.

Memory for bins T, per trial and unit: full O(T); truncated O(k2); checkpointed O(2 sqrt(T)) for one
more forward pass (Chen et al. 2016 arXiv:1604.06174). Truncated BPTT(k1, k2) (Williams & Peng 1990 Neural
Comput 2:490): the losses of every k1 bins send gradients back through at most k2 bins. Gradients are added
over the whole trial and the parameters move once a batch, so k1 >= T is full BPTT.
"""

from __future__ import annotations

import math

import numpy as np

from cortseq.data import Params
from cortseq.networks.training.engines.base import Batch, Engine, State


def gradient(engine: Engine, p: Params, batch: Batch) -> np.ndarray:
    """Return the summed loss in nats, (member,); the gradients are added to p[name].grad."""
    training = engine.training
    depth = training.truncate
    if depth is not None and depth < batch.stop:
        engine.prepare(p)
        return _truncated(engine, batch, training.truncate_every or depth, depth)
    if not training.checkpointed:
        return engine.whole(p, batch)
    engine.prepare(p)
    return _checkpointed(engine, batch, math.ceil(math.sqrt(batch.stop)))


def _truncated(engine: Engine, batch: Batch, every: int, depth: int) -> np.ndarray:
    """Windows of `every` scored bins, each run from `depth` bins before its end."""
    windows = [(max(0, s + every - depth), s) for s in range(0, batch.stop, every)]
    wanted = {first for first, _ in windows}
    states = {0: engine.start(batch)}
    loss, d_start = np.zeros(len(batch.index)), None
    for first, scored in windows:
        stop = min(scored + every, batch.stop)
        done = engine.segment(batch, states[first], first, stop, scored, None, wanted - set(states))
        states = {bin: state for bin, state in {**states, **done.kept}.items() if bin >= first}
        loss = loss + done.loss
        if first == 0:  # what reaches further back than k2 bins stops there
            d_start = _add(d_start, done.d_state)
    engine.finish(d_start)
    return loss


def _checkpointed(engine: Engine, batch: Batch, length: int) -> np.ndarray:
    """States are kept every `length` bins; each stretch is run again when the gradient comes back to it."""
    firsts = list(range(0, batch.stop, length))
    states = [engine.start(batch)]
    for first in firsts[:-1]:
        states.append(engine.advance(batch, states[-1], first, first + length))
    loss, d_state = np.zeros(len(batch.index)), None
    for first in reversed(firsts):
        stop = min(first + length, batch.stop)
        done = engine.segment(batch, states.pop(), first, stop, first, d_state, set())
        loss, d_state = loss + done.loss, done.d_state
    engine.finish(d_state)
    return loss


def _add(a: State | None, b: State) -> State:
    return b if a is None else tuple(x + y for x, y in zip(a, b, strict=True))
