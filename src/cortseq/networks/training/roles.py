"""The trials that a network learns from and is validated on, in the engines that run them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from cortseq.data import Data, Params
from cortseq.networks.network import Network
from cortseq.networks.training import engines, noise, windows
from cortseq.networks.training.engines.base import Engine
from cortseq.networks.training.settings import Training


@dataclass(frozen=True)
class Session:
    """What a network learns from one recording.

    Attributes
    ----------
    network : the cell and the observation of this recording.
    params : before learning, tensors with a leading member axis.
    train, valid : trials as the network steps through them (`Network.given`).
    """

    network: Network
    params: Params
    train: Data
    valid: Data


class Roles:
    """The engines of both roles, and a third where a strategy makes the inputs while it learns.

    A strategy that forces the state is validated as it learns: its loss under the recorded inputs may rise
    while the one that is minimised falls, and the first epoch would be kept. Draws are not validated on.

    A network of limited memory has other windows every epoch; `rows`: windows that stand for a trial.
    The batches of several recordings are spread over the steps of the one that makes most.
    """

    def __init__(self, session: Session, training: Training, device: str, together: bool, seed: int):
        network, params = session.network, session.params
        self.network, self.training, self.seed, self.data = network, training, seed, session.train
        self.params, self.on_cpu = params, device == "cpu"
        self._engine = functools.partial(
            engines.choose, network, params=params, training=training, device=device, together=together
        )
        self.memory = network.memory if windows.limits(network.memory, session.train) else None
        self.train, self.forced = self._engines(self._drawn(1))
        self.rows = max(1, round(len(self.train) / len(self.data.y)))
        valid = session.valid
        valid = valid if self.memory is None else windows.draw(valid, self.memory, seed, 0)
        self.valid = self._engine(valid, strategy=training.strategy if training.strategy.inverts else None)

    def _drawn(self, epoch: int) -> Data:
        """Return the training trials, or the windows of an epoch."""
        self.epoch = epoch
        return self.data if self.memory is None else windows.draw(self.data, self.memory, self.seed, epoch)

    def _engines(self, data: Data) -> tuple[Engine, Engine | None]:
        """Return the engine where inputs are known, and the one where a strategy makes them, if it does.

        They are one and the same where the first would learn nothing, or on a GPU the first step alone, for
        which nothing is worth recording.
        """
        strategy = self.training.strategy
        if strategy.plain(1.0):
            return self._engine(data), None
        forced = self._engine(data, strategy=strategy)
        return (self._engine(data) if self.on_cpu and strategy.plain(0.0) else forced), forced

    def at(self, epoch: int) -> None:
        """Make the engines those of `epoch`: a recorded step goes on with the trials of that epoch."""
        if self.memory is None or epoch == self.epoch:
            self.epoch = epoch
            return
        data = self._drawn(epoch)
        if self.forced is not None or not self.train.replace(data, self.params):
            self.train, self.forced = self._engines(data)

    def learning(self, progress: float) -> Engine:
        """Return the engine of a step at a fraction of the epochs: the fast one if inputs are known."""
        if self.forced is None or self.training.strategy.plain(progress):
            return self.train
        return self.forced

    def steps(self) -> int:
        """Return how many batches the trials of an epoch make."""
        return math.ceil(len(self.train) / self._batch)

    def order(self, member: int) -> np.ndarray:
        """Return the order of a member's trials in this epoch, (trial,)."""
        return noise.order(self.seed, member, self.epoch, len(self.train))

    def part(self, step: int, n_steps: int) -> slice:
        """Return where the trials of a step are in an epoch's order: a batch, or fewer in more steps."""
        if n_steps == self.steps():
            return slice(step * self._batch, (step + 1) * self._batch)
        n = len(self.train)
        return slice(step * n // n_steps, (step + 1) * n // n_steps)

    @property
    def _batch(self) -> int:
        return self.training.batch * self.rows

    def validate(self, p: Params, n_members: int) -> np.ndarray:
        """Return the negative log-likelihood of the validation trials in nats, (member,).

        It is forced as in the last step.
        """
        engine = self.valid
        engine.prepare(p)
        total = np.zeros(n_members)
        # all members at once hold no more than one alone, or than a training step
        size = min(256, max(256 // n_members, self.training.batch)) * self.rows
        for first in range(0, len(engine), size):
            index = np.arange(first, min(first + size, len(engine)))
            total += engine.loss(engine.batch(np.tile(index, (n_members, 1)), progress=1.0))
        return total

    def executions(self, epochs: int) -> str:
        """Return the names of the engines that the steps of so many epochs ran in, in order."""
        last = (epochs - 1 / max(len(self.train), 1)) / self.training.epochs
        return ", ".join(dict.fromkeys(self.learning(at).name for at in (0.0, last)))
