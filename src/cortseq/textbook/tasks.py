"""Tasks that a small rate network learns one after another: cycles of symbols, halves of a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.data import Data

if TYPE_CHECKING:
    import torch

    from cortseq.networks.recurrent import Recurrent
else:
    torch = lazy("torch")

Params = dict[str, Any]  # tensors by name
Loss = Callable[[Any], Any]  # parameters, or outputs -> tensor
_BATCH = 50  # trials of a gradient step, about


@dataclass(frozen=True)
class Task:
    """One task: its losses, nats per event, as functions of the parameters.

    Attributes
    ----------
    name : of the task.
    batches : losses of each batch of trials to learn from.
    test : loss of the trials to be judged by.
    outputs : (row, readout) of the first batch, before the likelihood.
    of_outputs : loss of these outputs.
    """

    name: str
    batches: list[Loss]
    test: Loss
    outputs: Loss
    of_outputs: Callable[[Any], Any]

    @property
    def loss(self) -> Loss:
        """That of the first batch."""
        return self.batches[0]


def _task(model: Recurrent, data: Data, whole: Params, test: np.ndarray, name: str) -> Task:
    """Return one task from a recording's Data; `whole`: all its parameters at the start."""
    from cortseq.networks.network import before

    network = model.network(data)
    data = network.given(whole, data)

    def parts(index: np.ndarray) -> tuple[Loss, Loss]:
        x, y, valid = network.tensors(whole, data, index, torch.float64)
        few, seen = data.at(index), valid.nonzero(as_tuple=True)
        events = float(max(few.n_events().sum(), 1))
        last = before(whole, x, valid)

        def outputs(p: Params) -> torch.Tensor:
            q = {**whole, **p}
            return network.readout(q, network.scan(q, x), last)[seen]

        def of_outputs(eta: torch.Tensor) -> torch.Tensor:
            return -network.observation.log_prob(whole, eta, y[seen]).sum() / events

        return outputs, of_outputs

    def loss_of(outputs: Loss, of_outputs: Loss) -> Loss:
        return lambda p: of_outputs(outputs(p))

    learning = np.flatnonzero(~test)
    batches = [parts(index) for index in np.array_split(learning, max(1, len(learning) // _BATCH))]
    return Task(name, [loss_of(*b) for b in batches], loss_of(*parts(np.flatnonzero(test))), *batches[0])


def _built(data: Data, hidden: int, seed: int) -> tuple[Recurrent, Params, Params]:
    """Return a small rate network and its start: learned parameters (dict), all of them, float64."""
    from cortseq import models

    model = models.Rate(hidden=hidden, leak=1.0, skip=False, input_dropout=0.0)
    whole = {k: v[0] for k, v in model.initial(data, 1, seed, np.float64).items()}
    learned = {k: v for k, v in whole.items() if k not in model.network(data).fixed}
    return model, learned, whole


def cyclic_chain(symbols: int = 4) -> np.ndarray:
    """Return transition (from, to): the next of a cycle nine times of ten, else any symbol."""
    return 0.9 * np.roll(np.eye(symbols), 1, 1) + 0.1 / symbols


def chain_task(
    number: int, tasks: int, hidden: int, trials: int, bins: int, seed: int, symbols: int = 4
) -> tuple[Params, Task]:
    """Return symbols that follow one random cycle nine times of ten; a constant input names the task."""
    from cortseq.sources.synthetic import sample_chain

    rng = np.random.default_rng([seed, 1, number])
    name = rng.permutation(symbols)  # of each place in the cycle
    states = sample_chain(rng, np.full(symbols, 1 / symbols), cyclic_chain(symbols), trials, bins)
    y = name[states]
    cue = np.broadcast_to(np.eye(tasks)[number], (trials, bins, tasks))
    data = Data("symbols", y, np.ones((trials, bins), bool), cue, 1.0, symbols)
    model, learned, whole = _built(data, hidden, seed)
    test = np.arange(trials) % 3 == 0
    return learned, _task(model, data, whole, test, f"cycle {number + 1}")


def halves(recording: xr.Dataset, hidden: int, seed: int) -> tuple[Params, list[Task]]:
    """Return the first and the second half of a recording's trials, at most 120 of them."""
    n = min(recording.sizes["trial"], 120)
    data = Data.of(recording, range(n))
    model, learned, whole = _built(data, hidden, seed)
    tasks = []
    for name, index in (("first half", np.arange(n // 2)), ("second half", np.arange(n // 2, n))):
        part = data.at(index)
        tasks.append(_task(model, part, whole, np.arange(len(index)) % 3 == 0, name))
    return learned, tasks
