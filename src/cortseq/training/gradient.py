"""Gradient descent on the teacher-forced negative log-likelihood, for all members of a fit.

Members are an axis of the parameters. On a CPU they run one after another, on a GPU as one batch; each
has its own random streams, so a member equals its solo fit. AdamW (Loshchilov & Hutter 2019), a cosine
learning-rate schedule, the norm of each member's gradient clipped, best-validation weights kept.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from cortseq import observations
from cortseq.errors import CortseqError
from cortseq.models.base import CURVES, Data, Learned, Params, Progress

if TYPE_CHECKING:
    from cortseq.models.recurrent import Recurrent

FINAL_LEARNING_RATE = 0.02  # of the first: where the cosine ends
_REPORT_SECONDS = 5.0


def resolve(device: str) -> str:
    """ "auto" is "cuda" where there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise CortseqError("no CUDA device is available", key="device", value=device, fix="use cpu or auto")
    return device


def descend(
    model: Recurrent,
    params: Params,
    train: Data,
    valid: Data,
    seed: int,
    device: str,
    progress: Progress,
    batched: bool | None = None,
) -> Learned:
    """Fit all members; `batched` overrides how they are executed (default: together on a GPU only).

    Raises
    ------
    CortseqError : no member ended with a finite validation loss; says at which epoch and step each failed.
    """
    device = resolve(device)
    n_members = len(params["readout_bias"])
    together = device != "cpu" if batched is None else batched
    groups = [list(range(n_members))] if together else [[m] for m in range(n_members)]
    dtype = params["readout_weight"].dtype
    sets = [_Trials(model, params, data, dtype, device) for data in (train, valid)]
    start = time.monotonic()
    done = [_Descent(model, params, group, sets, seed, device, progress).run() for group in groups]
    failed = {str(m): why for d in done for m, why in d.failed.items()}
    if len(failed) == n_members:
        raise CortseqError(
            f"{model.family}: no member has a finite loss: {'; '.join(sorted(set(failed.values())))}",
            key="learning_rate",
            value=model.learning_rate,
            fix="lower learning_rate or clip",
        )
    best = {name: torch.cat([d.best[name] for d in done]).cpu() for name in params}
    good = [m for m in range(n_members) if str(m) not in failed]
    n_free = sum(value[0].numel() for name, value in params.items() if name not in model.fixed)
    curves = pd.concat([d.curves() for d in done], ignore_index=True)
    return Learned(
        {name: value[good] for name, value in best.items()},
        n_free,
        curves[curves.member.isin(good)].reset_index(drop=True) if failed else curves,
        {
            "failed_members": failed,
            "members": len(good),
            "device": device,
            "epochs_run": int(curves.epoch.max()),
            "fit_seconds": time.monotonic() - start,
        },
    )


class _Trials:
    """One role's trials on the device: network input, observations, mask, events per trial."""

    def __init__(self, model, params: Params, data: Data, dtype, device: str):
        from cortseq.models.recurrent import tensors

        first = {name: value[0] for name, value in params.items()}
        x, y, mask = tensors(model, first, data, slice(None), dtype)
        self.x, self.y, self.mask = x.to(device), y.to(device), mask.to(device, dtype)
        self.events = torch.as_tensor(data.n_events().sum(1)).to(device, dtype)
        self.length = torch.as_tensor(data.y.shape[1] - np.argmax(data.valid[:, ::-1], axis=1))
        self.observation = observations.OBSERVATIONS[data.track](data.n_features, data.bin_width)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: torch.Tensor):
        """Trials `index` (member, batch), cut after the longest of them."""
        stop = int(self.length[index].max())
        rows = index.to(self.x.device)
        return self.x[rows, :stop], self.y[rows, :stop], self.mask[rows, :stop], self.events[rows].sum(-1)


class _Descent:
    """The state of fitting one group of members."""

    def __init__(self, model, params, members, sets, seed, device, progress):
        self.model, self.members = model, members
        self.train, self.valid = sets
        self.device, self.progress = device, progress
        self.params = {
            name: value[members].to(device).clone().requires_grad_(name not in model.fixed)
            for name, value in params.items()
        }
        self.free = [value for value in self.params.values() if value.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.free, lr=model.learning_rate, weight_decay=model.weight_decay, foreach=True
        )
        self.orders = [np.random.default_rng([seed, m, 2]) for m in members]
        self.noise = []
        for m in members:
            stream = int(np.random.SeedSequence([seed, m, 3]).generate_state(1, np.uint64)[0] >> np.uint64(1))
            self.noise.append(torch.Generator(device).manual_seed(stream))
        self.best = {name: value.detach().clone() for name, value in self.params.items()}
        self.best_loss = np.full(len(members), np.inf)
        self.best_epoch = np.zeros(len(members), int)
        self.failed: dict[int, str] = {}
        self.rows: list[dict] = []

    def run(self) -> _Descent:
        model, n = self.model, len(self.train)
        n_steps = math.ceil(n / model.batch)
        start = said = time.monotonic()
        for epoch in range(1, model.epochs + 1):
            order = torch.as_tensor(np.stack([rng.permutation(n) for rng in self.orders]))
            loss, clipped = np.zeros(len(self.members)), np.zeros(len(self.members))
            for step in range(n_steps):
                rate = self._set_learning_rate((epoch - 1 + step / n_steps) / model.epochs)
                batch = order[:, step * model.batch : (step + 1) * model.batch]
                step_loss, step_clipped = self._step(batch, epoch, step)
                loss += step_loss / n_steps
                clipped += step_clipped / n_steps
            valid = self._validate(epoch)
            self._keep(epoch, loss, valid, rate, clipped)
            if time.monotonic() - said > _REPORT_SECONDS:
                said = time.monotonic()
                left = (said - start) / epoch * (model.epochs - epoch)
                self.progress(
                    f"{model.family} member {_span(self.members)} epoch {epoch}/{model.epochs} "
                    f"train {np.nanmean(loss):.4f} valid {np.nanmean(valid):.4f} "
                    f"best {self.best_loss.min():.4f} nats/event, at most {left:.0f} s left"
                )
            if len(self.failed) == len(self.members) or not self._running(epoch + 1).any():
                break
        for i, member in enumerate(self.members):
            if not np.isfinite(self.best_loss[i]):
                self.failed.setdefault(member, f"member {member}: no finite validation loss")
        return self

    def _running(self, epoch: int) -> np.ndarray:
        """Members whose own patience lasts to this epoch: one that would have stopped alone learns no more."""
        return epoch - 1 - self.best_epoch < self.model.patience

    def _set_learning_rate(self, fraction: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        rate = self.model.learning_rate * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, batch: torch.Tensor, epoch: int, step: int):
        x, y, mask, events = self.train.take(batch)
        loss = self._loss(self._dropped(x, self.model.input_dropout), y, mask, events, True)
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        norm = torch.stack([p.grad.flatten(1).square().sum(1) for p in self.free]).sum(0).sqrt()
        fine = torch.isfinite(loss.detach()) & torch.isfinite(norm)
        if not fine.all():
            self._note_failures(fine, epoch, step)
        scale = torch.where(fine, (self.model.clip / (norm + 1e-12)).clamp(max=1.0), 0.0)
        for p in self.free:
            p.grad.mul_(scale.reshape(-1, *(1,) * (p.ndim - 1)))
            if not fine.all():
                torch.nan_to_num_(p.grad, 0.0, 0.0, 0.0)
        self.optimizer.step()
        return loss.detach().double().cpu().numpy(), (scale < 1).double().cpu().numpy()

    def _note_failures(self, fine: torch.Tensor, epoch: int, step: int) -> None:
        for i in torch.nonzero(~fine).flatten().tolist():
            why = f"member {self.members[i]}: loss or gradient not finite at epoch {epoch}, step {step}"
            if self.members[i] not in self.failed:
                self.progress(f"{self.model.family}: {why}")
            self.failed.setdefault(self.members[i], why)

    def _loss(self, x, y, mask, events, learning: bool) -> torch.Tensor:
        """Negative log-likelihood in nats per event, one value a member."""
        p = self.params
        if len(self.members) == 1:  # without the axis the same products are faster on a CPU
            p, x, y, mask = {k: v[0] for k, v in p.items()}, x[0], y[0], mask[0]
        out = self.model.scan(p, x)
        if learning:
            out = self._dropped(out, self.model.hidden_dropout)
        log_prob = self.train.observation.log_prob(p, self.model.readout(p, out), y) * mask
        return -log_prob.sum((-2, -1)).reshape(len(self.members)) / events.clamp_min(1.0)

    def _dropped(self, x: torch.Tensor, probability: float) -> torch.Tensor:
        if probability == 0:
            return x
        # drawn for whole trials: where a batch is cut must not move a member's random stream
        n, stop, width = x.shape[-3:]
        shape = (n, self.train.x.shape[1], width)
        keep = [torch.rand(shape, generator=g, device=x.device, dtype=x.dtype) for g in self.noise]
        mask = (torch.stack(keep)[:, :, :stop].reshape(x.shape) >= probability).to(x.dtype)
        return x * mask / (1 - probability)

    def _validate(self, epoch: int) -> np.ndarray:
        index = torch.arange(len(self.valid)).expand(len(self.members), -1)
        total = np.zeros(len(self.members))
        with torch.no_grad():
            for part in index.split(256, -1):
                x, y, mask, events = self.valid.take(part)
                total += (self._loss(x, y, mask, events, False) * events.clamp_min(1)).double().cpu().numpy()
        return total / max(float(self.valid.events.sum()), 1.0)

    def _keep(self, epoch, loss, valid, rate, clipped) -> None:
        better = np.flatnonzero((valid < self.best_loss) & self._running(epoch))  # false for NaN
        for i in better.tolist():
            self.best_loss[i], self.best_epoch[i] = valid[i], epoch
            for name, value in self.params.items():
                self.best[name][i] = value.detach()[i]
        for i, member in enumerate(self.members):
            self.rows.append(
                dict(
                    zip(
                        CURVES,
                        (member, epoch, loss[i], valid[i], rate, clipped[i], i in better),
                        strict=True,
                    )
                )
            )

    def curves(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=CURVES)


def _span(members: list[int]) -> str:
    return str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}"
