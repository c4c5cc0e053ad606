"""Gradient descent on the negative log-likelihood, for all members of a fit.

Members are an axis of the parameters. On a CPU they run one after another, on a GPU as one batch; each
has its own random numbers, so a member equals its solo fit. AdamW (Loshchilov & Hutter 2019), the norm of
each member's gradient clipped (Pascanu et al. 2013), best-validation weights kept.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from typing import Any

import numpy as np
import torch

from cortseq._lazy import pd
from cortseq.compiled import threads
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import CURVES, Learned, Run
from cortseq.models.progress import Progress
from cortseq.networks.network import Network
from cortseq.networks.training import bptt, checkpoints, engines, noise, windows
from cortseq.networks.training.engines.base import Engine
from cortseq.networks.training.flat import Flat
from cortseq.networks.training.settings import Training

FINAL_LEARNING_RATE = 0.02  # of the first: where a schedule ends
_REPORT_SECONDS = 3.0
_TERMINATED = 128 + 15  # the exit status of a process that SIGTERM ended


def resolve(device: str) -> str:
    """Return the device; "auto" is "cuda" where there is one, "cuda:1" is the second."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise CortseqError("no CUDA device is available", key="device", value=device, fix="use cpu or auto")
    return device


def descend(
    network: Network,
    training: Training,
    params: Params,
    train: Data,
    valid: Data,
    run: Run,
    batched: bool | None = None,
) -> Learned:
    """Fit all members of `params`; `batched`: all together or one by one (default: together on a GPU).

    Where the run has a `start`, `params` are those of an earlier fit: they are validated first, as epoch 0,
    and stay where no epoch is better. With a checkpoint an unfinished fit of the same specification, seed and
    trials goes on where it was.

    Raises
    ------
    CortseqError : no member ended with a finite validation loss; says at which epoch and step each failed.
    SystemExit : the process was told to terminate (SIGTERM); the checkpoint is written before.
    """
    device = resolve(run.device)
    train, valid = network.given(params, train), network.given(params, valid)
    n_members = len(params["readout_bias"])
    together = device != "cpu" if batched is None else batched
    groups = [list(range(n_members))] if together else [[m] for m in range(n_members)]
    roles = _Roles(network, training, params, train, valid, device, together, run.seed)
    known = ""
    if run.checkpoint is not None:
        known = checkpoints.identity(network.cell, params, train, valid, run.seed, device, groups)
    keeper = checkpoints.Keeper(run.checkpoint, known, run.progress)
    start, done = time.monotonic(), []
    with checkpoints.termination() as warned, threads.single():
        for number, members in enumerate(groups):
            some = {name: value[members] for name, value in params.items()}
            done.append(_Descent(some, members, roles, run.seed, device, run.start is not None))
            done[-1].run(keeper, number, warned, len(groups))
    seconds = time.monotonic() - start
    run.progress(f"{network.cell.family}: {n_members} members in {seconds:.1f} s")
    return _learned(done, n_members, device, seconds)


def _learned(done: list[_Descent], n_members: int, device: str, seconds: float) -> Learned:
    failed = {str(m): why for d in done for m, why in d.failed.items()}
    if len(failed) == n_members:
        network, training = done[0].roles.network, done[0].roles.training
        raise CortseqError(
            f"{network.cell.family}: no member has a finite loss: {'; '.join(sorted(set(failed.values())))}",
            key="learning_rate",
            value=training.learning_rate,
            fix="lower learning_rate or clip",
        )
    parts = [d.flat.unpacked(d.best) for d in done]
    best = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    good = [m for m in range(n_members) if str(m) not in failed]
    curves = pd.concat([d.curves() for d in done], ignore_index=True)
    return Learned(
        {name: value[good] for name, value in best.items()},
        done[0].flat.values.shape[1],
        curves[curves.member.isin(good)].reset_index(drop=True) if failed else curves,
        {
            "failed_members": failed,
            "members": len(good),
            "device": device,
            "execution": done[0].roles.executions(int(curves.epoch.max())),
            "epochs_run": int(curves.epoch.max()),
            "fit_seconds": seconds,
        },
    )


class _Roles:
    """The engines of both roles, and a third where a strategy makes the inputs while it learns.

    A network of limited memory has other windows every epoch; `rows`: windows that stand for a trial.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        params: Params,
        train: Data,
        valid: Data,
        device: str,
        together: bool,
        seed: int,
    ):
        self.network, self.training, self.seed, self.data = network, training, seed, train
        self.params, self.on_cpu = params, device == "cpu"
        self._engine = functools.partial(
            engines.choose, network, params=params, training=training, device=device, together=together
        )
        self.memory = network.memory if windows.limits(network.memory, train) else None
        self.train, self.forced = self._engines(self._drawn(1))
        self.rows = max(1, round(len(self.train) / len(train.y)))
        self.valid = self._engine(valid if self.memory is None else windows.draw(valid, self.memory, seed, 0))

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
            return
        data = self._drawn(epoch)
        if self.forced is not None or not self.train.replace(data, self.params):
            self.train, self.forced = self._engines(data)

    def learning(self, progress: float) -> Engine:
        """Return the engine of a step at a fraction of the epochs: the fast one if inputs are known."""
        if self.forced is None or self.training.strategy.plain(progress):
            return self.train
        return self.forced

    def executions(self, epochs: int) -> str:
        """Return the names of the engines that the steps of so many epochs ran in, in order."""
        last = (epochs - 1 / max(len(self.train), 1)) / self.training.epochs
        return ", ".join(dict.fromkeys(self.learning(at).name for at in (0.0, last)))


class _Descent:
    """The state of fitting one group of members."""

    def __init__(
        self,
        params: Params,
        members: list[int],
        roles: _Roles,
        seed: int,
        device: str,
        learned_before: bool = False,
    ):
        self.learned_before = learned_before
        self.members, self.roles, self.seed = members, roles, seed
        self.training = training = roles.training
        self.flat = Flat(params, roles.network.fixed, device)
        self.optimizer = torch.optim.AdamW(
            [self.flat.values], lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.flat.values.grad = self.flat.gradient
        self.best = self.flat.values.clone()
        self.best_loss = np.full(len(members), np.inf)
        self.best_epoch = np.zeros(len(members), int)
        self.failed: dict[int, str] = {}
        self.rows: list[list[Any]] = []
        self.epoch, self.step, self.finished = 1, 0, False
        self.sums = np.zeros((2, len(members)))  # of this epoch's losses and clipped steps

    # -- the loop over epochs ---------------------------------------------------------------------

    def run(self, keeper: checkpoints.Keeper, group: int, warned: threading.Event, n_groups: int) -> None:
        """Epochs until the last, or until all patience is over; goes on from the keeper's state."""
        if group in keeper.groups:
            self.load(keeper.groups[group])
            keeper.progress(f"{self._who()} goes on at epoch {self.epoch}")
        start = said = time.monotonic()
        if self.learned_before and not self.rows:
            self._keep(self._validate(), np.full((2, len(self.members)), np.nan), epoch=0, rate=0.0)
        first = self.epoch
        n, size = len(self.roles.train), self.training.batch * self.roles.rows
        n_steps = math.ceil(n / size)
        while not self.finished:
            self.roles.at(self.epoch)
            order = np.stack([noise.order(self.seed, m, self.epoch, n) for m in self.members])
            while self.step < n_steps:
                self._step(order[:, self.step * size : (self.step + 1) * size], n_steps)
                self.step += 1
                if warned.is_set():
                    keeper.keep(group, self.state())
                    keeper.progress(f"{self._who()} was told to terminate in epoch {self.epoch}")
                    raise SystemExit(_TERMINATED)
                if keeper.due():
                    keeper.keep(group, self.state())
                if time.monotonic() - said > _REPORT_SECONDS:
                    said = time.monotonic()
                    self._report(keeper.progress, said - start, first, n_steps, (group, n_groups))
            self._end_epoch(n_steps)
        keeper.keep(group, self.state())

    def _step(self, index: np.ndarray, n_steps: int) -> None:
        training = self.training
        progress = (self.epoch - 1 + self.step / n_steps) / training.epochs
        self.optimizer.param_groups[0]["lr"] = self._learning_rate(progress)
        engine = self.roles.learning(progress)
        draws = [noise.Draws(self.seed, m, self.epoch, self.step) for m in self.members]
        self.flat.gradient.zero_()
        batch = engine.batch(index, draws, progress)
        loss = bptt.gradient(engine, self.flat.p, batch)
        events = np.maximum(engine.events[index].sum(1), 1.0)
        clipped = self._clip(loss, events)
        self.optimizer.step()
        self.sums += np.stack([loss / events, clipped])

    def _clip(self, loss: np.ndarray, events: np.ndarray) -> np.ndarray:
        """Gradient per event with its norm held at `clip`; a member that is not finite moves no more."""
        gradient = self.flat.gradient
        norm = torch.linalg.vector_norm(gradient, dim=1).double().cpu().numpy() / events
        fine = np.isfinite(loss) & np.isfinite(norm)
        for i in np.flatnonzero(~fine).tolist():
            where = f"epoch {self.epoch}, step {self.step}"
            why = f"member {self.members[i]}: loss or gradient not finite at {where}"
            self.failed.setdefault(self.members[i], why)
        with np.errstate(invalid="ignore"):
            scale = np.where(fine, np.minimum(self.training.clip / (norm + 1e-12), 1.0), 0.0)
        gradient.mul_(torch.as_tensor(scale / events, dtype=gradient.dtype, device=gradient.device)[:, None])
        if not fine.all():
            torch.nan_to_num_(gradient, 0.0, 0.0, 0.0)
        return (scale < 1).astype(float)

    def _learning_rate(self, progress: float) -> float:
        left = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "constant": 1.0}
        fraction = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * left[self.training.schedule]
        # Adam's first steps are large whatever the gradient: at full rate they kill rectified units.
        risen = min(1.0, progress / self.training.warm_up) if self.training.warm_up else 1.0
        return self.training.learning_rate * fraction * risen

    def _end_epoch(self, n_steps: int) -> None:
        """Validate, keep what is better, and decide whether to go on."""
        rate = self._learning_rate((self.epoch - 1 / n_steps) / self.training.epochs)  # of the last step
        self._keep(self._validate(), self.sums / n_steps, self.epoch, rate)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, np.zeros_like(self.sums)
        alive = np.array([m not in self.failed for m in self.members])
        self.finished = self.epoch > self.training.epochs or not (alive & self._patient()).any()
        if self.finished:
            for i in np.flatnonzero(~np.isfinite(self.best_loss)).tolist():
                member = self.members[i]
                self.failed.setdefault(member, f"member {member}: no finite validation loss")

    def _keep(self, valid: np.ndarray, sums: np.ndarray, epoch: int, rate: float) -> None:
        """Keep the weights of members with a better validation loss, and the rows of the curves.

        `sums` (2, member): training loss and clipped fraction of the epoch.
        """
        # one whose patience is over would have stopped alone, and learns no more; false for NaN
        better = (valid < self.best_loss) & self._patient()
        for i in np.flatnonzero(better).tolist():
            self.best_loss[i], self.best_epoch[i] = valid[i], epoch
            self.best[i] = self.flat.values[i].detach()
        for i, member in enumerate(self.members):
            numbers = (float(x) for x in (sums[0, i], valid[i], rate, sums[1, i]))
            self.rows.append([member, epoch, *numbers, bool(better[i])])

    def _patient(self) -> np.ndarray:
        """Members whose own patience lasts to this epoch."""
        return self.epoch - 1 - self.best_epoch < self.training.patience

    def _validate(self) -> np.ndarray:
        """Return the validation loss in nats per event, (member,)."""
        engine = self.roles.valid
        engine.prepare(self.flat.p)
        total = np.zeros(len(self.members))
        # all members at once hold no more than one alone, or than a training step
        size = min(256, max(256 // len(self.members), self.training.batch)) * self.roles.rows
        for first in range(0, len(engine), size):
            index = np.arange(first, min(first + size, len(engine)))
            total += engine.loss(engine.batch(np.tile(index, (len(self.members), 1))))
        return np.asarray(total / max(engine.events.sum(), 1.0))

    # -- what is said and kept --------------------------------------------------------------------

    def _who(self) -> str:
        span = str(self.members[0]) if len(self.members) == 1 else f"{self.members[0]}-{self.members[-1]}"
        return f"{self.roles.network.cell.family} member {span}"

    def _report(
        self, progress: Progress, seconds: float, first: int, n_steps: int, group: tuple[int, int]
    ) -> None:
        last = self.training.epochs
        epochs = self.epoch - 1 + self.step / n_steps
        left = seconds / max(epochs - first + 1, 1e-9) * (last - epochs)
        with np.errstate(invalid="ignore"):
            train = np.nanmean(self.sums[0] / max(self.step, 1))
        progress(
            f"{self._who()} epoch {self.epoch}/{last} train {train:.4f} "
            f"best valid {self.best_loss.min():.4f} nats/event, at most {left:.0f} s left",
            (group[0] + epochs / last) / group[1],
        )

    def curves(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=CURVES)

    def state(self) -> dict[str, Any]:
        """Everything that changes while learning: tensors, and what JSON holds exactly."""
        moments = self.optimizer.state.get(self.flat.values, {})
        return {
            "values": self.flat.values.detach().clone(),
            "best": self.best.clone(),
            **{f"adam_{name}": value.clone() for name, value in moments.items()},
            "best_loss": self.best_loss.tolist(),
            "best_epoch": self.best_epoch.tolist(),
            "failed": {str(m): why for m, why in self.failed.items()},
            "rows": self.rows,
            "sums": self.sums.tolist(),
            "at": [self.epoch, self.step, self.finished],
        }

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            self.flat.values.copy_(state["values"])
            self.best.copy_(state["best"])
        moments = {k.removeprefix("adam_"): v.clone() for k, v in state.items() if k.startswith("adam_")}
        if moments:
            device = self.flat.values.device
            self.optimizer.state[self.flat.values] = {k: v.to(device) for k, v in moments.items()}
        self.best_loss = np.array(state["best_loss"])
        self.best_epoch = np.array(state["best_epoch"])
        self.failed = {int(m): why for m, why in state["failed"].items()}
        self.rows = [list(row) for row in state["rows"]]
        self.sums = np.array(state["sums"])
        self.epoch, self.step, self.finished = state["at"]
