"""Gradient descent on the negative log-likelihood, for all members of a fit.

Members are an axis of the parameters. On a CPU they run one after another, on a GPU as one batch. Where a
strategy forces the state they are one batch everywhere: bins are stepped through one by one, and a step of
five members takes about twice as long as that of one. A member has its own random numbers, so it equals its
solo fit. AdamW (Loshchilov & Hutter 2019), the norm of each member's gradient clipped (Pascanu et al. 2013),
best-validation weights kept.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
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
from cortseq.networks.training import bptt, checkpoints, noise
from cortseq.networks.training.flat import Flat
from cortseq.networks.training.roles import Roles, Session
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
    frozen: frozenset[str] = frozenset(),
) -> Learned:
    """Fit all members of `params` to one recording; see `descend_together`. `frozen`: what stays as it is."""
    one = Session(network, params, *(network.given(params, data) for data in (train, valid)))
    return descend_together([one], training, run, frozenset(), batched, frozen)[0]


def descend_together(
    sessions: Sequence[Session],
    training: Training,
    run: Run,
    shared: frozenset[str],
    batched: bool | None = None,
    frozen: frozenset[str] = frozenset(),
) -> list[Learned]:
    """Fit all members to several recordings that have the parameters `shared` in common.

    The loss is the sum of that of all recordings over the number of all events. Every step sees a part of
    each: as many steps make an epoch as that recording needs that has most trials. Validation chooses the
    epoch by the mean over the events of all.

    Where the run has a `start`, the parameters are those of an earlier fit: they are validated first, as
    epoch 0, and stay where no epoch is better. With a checkpoint an unfinished fit of the same
    specification, seed and trials goes on where it was.

    Parameters
    ----------
    shared : names of parameters; those of the first recording are learned by all.
    batched : all members together or one by one (default: together on a GPU, or where the strategy inverts).
    frozen : names of parameters that are not learned.

    Raises
    ------
    CortseqError : no member ended with a finite validation loss; says at which epoch and step each failed.
    SystemExit : the process was told to terminate (SIGTERM); the checkpoint is written before.
    """
    device = resolve(run.device)
    n_members = len(sessions[0].params["readout_bias"])
    forced = training.strategy.inverts
    together = device != "cpu" or forced if batched is None else batched
    groups = [list(range(n_members))] if together else [[m] for m in range(n_members)]
    roles = [Roles(s, training, device, together, run.seed + i) for i, s in enumerate(sessions)]
    known = ""
    if run.checkpoint is not None:
        known = checkpoints.identity(sessions, run.seed, device, groups)
    keeper = checkpoints.Keeper(run.checkpoint, known, run.progress)
    family = sessions[0].network.cell.family
    start, done = time.monotonic(), []
    with checkpoints.termination() as warned, threads.single():
        for number, members in enumerate(groups):
            some = [{name: value[members] for name, value in s.params.items()} for s in sessions]
            flat = Flat(some, sessions[0].network.fixed | frozen, device, shared)
            done.append(_Descent(flat, members, roles, run.seed, run.start is not None))
            done[-1].run(keeper, number, warned, len(groups))
    seconds = time.monotonic() - start
    run.progress(f"{family}: {n_members} member{'s' * (n_members > 1)} in {seconds:.1f} s", 1.0)
    return [_learned(done, i, device, seconds) for i in range(len(sessions))]


def _learned(done: list[_Descent], recording: int, device: str, seconds: float) -> Learned:
    """Return what was learned of one recording."""
    failed = {str(m): why for d in done for m, why in d.failed.items()}
    roles, n_members = done[0].roles[recording], sum(len(d.members) for d in done)
    if len(failed) == n_members:
        whys = "; ".join(sorted(set(failed.values())))
        raise CortseqError(
            f"{roles.network.cell.family}: no member has a finite loss: {whys}",
            key="learning_rate",
            value=roles.training.learning_rate,
            fix="lower learning_rate or clip",
        )
    parts = [d.flat.unpacked(d.best, recording) for d in done]
    best = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    good = [m for m in range(n_members) if str(m) not in failed]
    curves = pd.concat([d.curves() for d in done], ignore_index=True)
    return Learned(
        {name: value[good] for name, value in best.items()},
        done[0].flat.learned(recording),
        curves[curves.member.isin(good)].reset_index(drop=True) if failed else curves,
        {
            "failed_members": failed,
            "members": len(good),
            "device": device,
            "execution": roles.executions(int(curves.epoch.max())),
            "epochs_run": int(curves.epoch.max()),
            "fit_seconds": seconds,
        },
    )


class _Descent:
    """The state of fitting one group of members."""

    def __init__(
        self, flat: Flat, members: list[int], roles: list[Roles], seed: int, learned_before: bool = False
    ):
        self.learned_before = learned_before
        self.flat, self.members, self.roles, self.seed = flat, members, roles, seed
        self.training = training = roles[0].training
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
        n_steps = max(roles.steps() for roles in self.roles)
        while not self.finished:
            for roles in self.roles:
                roles.at(self.epoch)
            orders = [np.stack([roles.order(m) for m in self.members]) for roles in self.roles]
            while self.step < n_steps:
                self._step(orders, n_steps)
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

    def _step(self, orders: list[np.ndarray], n_steps: int) -> None:
        """Move the parameters once; `orders`: of each recording's trials in this epoch, (member, trial)."""
        training = self.training
        progress = (self.epoch - 1 + self.step / n_steps) / training.epochs
        self.optimizer.param_groups[0]["lr"] = self._learning_rate(progress)
        self.flat.gradient.zero_()
        loss, events = np.zeros((2, len(self.members)))
        for roles, p, order in zip(self.roles, self.flat.p, orders, strict=True):
            index = order[:, roles.part(self.step, n_steps)]
            if not index.size:  # fewer trials than steps
                continue
            engine = roles.learning(progress)
            draws = [noise.Draws(roles.seed, m, self.epoch, self.step) for m in self.members]
            loss += bptt.gradient(engine, p, engine.batch(index, draws, progress))
            events += engine.events[index].sum(1)
        events = np.maximum(events, 1.0)
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
        """Return the validation loss in nats per event of all recordings, (member,)."""
        n = len(self.members)
        total = sum(roles.validate(p, n) for roles, p in zip(self.roles, self.flat.p, strict=True))
        events = sum(roles.valid.events.sum() for roles in self.roles)
        return np.asarray(total / max(events, 1.0))

    # -- what is said and kept --------------------------------------------------------------------

    def _who(self) -> str:
        span = str(self.members[0]) if len(self.members) == 1 else f"{self.members[0]}-{self.members[-1]}"
        return f"{self.roles[0].network.cell.family} member {span}"

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
