"""A bidirectional recurrent network: rates of some units from other units at all times.

    lambda_t = exp(C [f_t, b_t] + d)

f and b are GRUs that read the held-in counts forwards and backwards up to bin t. Schuster & Paliwal 1997 IEEE
Trans Signal Process 45:2673; the GRU is that of torch (Cho et al. 2014).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cortseq.compiled import threads
from cortseq.data import Data
from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE


@dataclass(frozen=True)
class Bidirectional:
    """Fitted by Adam with early stopping on validation trials; inputs and states are dropped out."""

    hidden: int = 32
    epochs: int = 100
    batch: int = 32
    learning_rate: float = 5e-3
    dropout: float = 0.3
    patience: int = 15

    def rates(
        self, train: Data, valid: Data, test: Data, held_in: Sequence[int], held_out: Sequence[int], seed: int
    ) -> np.ndarray:
        """Return expected counts of the units `held_out` in every bin of `test`, (trial, time, unit)."""
        with threads.single(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network(len(held_in), self.hidden, _log_mean(train, held_out), self.dropout)
            self._fit(network, *(_Trials(d, held_in, held_out) for d in (train, valid)))
            with torch.no_grad():
                return np.asarray(network(_Trials(test, held_in, held_out)).exp().double().numpy())

    def _fit(self, network: _Network, train: _Trials, valid: _Trials) -> None:
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        best, kept, waited = np.inf, copy.deepcopy(network.state_dict()), 0
        for _ in range(self.epochs):
            network.train()
            for index in torch.randperm(len(train.seen)).split(self.batch):
                optimizer.zero_grad()
                part = train.at(index)
                (part.loss(network(part)) / part.target.sum().clamp_min(1)).backward()
                clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            schedule.step()
            network.eval()
            with torch.no_grad():
                loss = float(valid.loss(network(valid)))
            waited += 1
            if loss < best:
                best, kept, waited = loss, copy.deepcopy(network.state_dict()), 0
            if waited >= self.patience:
                break
        network.load_state_dict(kept)
        network.eval()


class _Trials:
    """Held-in counts, held-out counts and mask of some trials as tensors."""

    def __init__(self, data: Data, held_in: Sequence[int], held_out: Sequence[int]):
        self.valid = torch.as_tensor(data.valid)
        y = torch.as_tensor(np.where(data.valid[..., None], data.y, 0)).float()
        self.seen, self.target = y[..., list(held_in)], y[..., list(held_out)]
        self.length = torch.as_tensor(np.maximum(data.lengths, 1))

    def at(self, index: torch.Tensor) -> _Trials:
        part = copy.copy(self)
        part.__dict__ = {name: value[index] for name, value in self.__dict__.items()}
        return part

    def loss(self, eta: torch.Tensor) -> torch.Tensor:
        return ((eta.exp() - self.target * eta) * self.valid[..., None]).sum()


class _Network(torch.nn.Module):
    def __init__(self, n_in: int, hidden: int, log_mean: np.ndarray, dropout: float):
        super().__init__()
        self.gru = torch.nn.GRU(n_in, hidden, batch_first=True, bidirectional=True)
        self.dropout = torch.nn.Dropout(dropout)
        self.readout = torch.nn.Linear(2 * hidden, len(log_mean))
        with torch.no_grad():
            self.readout.weight.mul_(0.1)
            self.readout.bias.copy_(torch.as_tensor(log_mean))

    def forward(self, trials: _Trials) -> torch.Tensor:
        """Log rates (trial, time, unit held out); a backward pass begins at a trial's own last bin."""
        packed = pack_padded_sequence(
            self.dropout(trials.seen), trials.length, batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=trials.seen.shape[1]
        )
        eta: torch.Tensor = self.readout(self.dropout(states))
        return eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE)


def _log_mean(train: Data, held_out: Sequence[int]) -> np.ndarray:
    total = train.y[train.valid][:, list(held_out)].sum(0)
    return np.asarray(np.log((total + 0.5) / (train.valid.sum() + 1.0)))
