"""The fused loop over time as a function of torch: states h before each bin, with a gradient."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from cortseq.data import Params
from cortseq.networks.cell import Fusion, State
from cortseq.networks.training.kernels.fused import lstm, rate, stp

TRIALS = 16  # of one program: the smallest tile that is multiplied
KERNELS: dict[str, ModuleType] = {"rate": rate, "stp": stp, "lstm": lstm}


def states(fusion: Fusion, q: Params, start: State, drive: torch.Tensor) -> torch.Tensor:
    """Return the first part of the state before each bin, (..., trial, time, hidden).

    Parameters
    ----------
    fusion
        Which kernel, see `Cell.fusion`.
    q
        Parameters as `derive` gives them, of one member or with a leading member axis.
    start
        Parts of the state before bin 0, (..., trial, hidden).
    drive
        U x + b of each bin, (..., trial, time, n_drive); that of the last bin is not used.
    """
    weight = q["recurrent"]
    lead, hidden = weight.shape[:-2], weight.shape[-1]
    rows = [q[name].expand(*lead, 1, hidden) for name in fusion.constants]
    constants = torch.cat(rows, -2) if rows else weight.new_ones(*lead, 1, hidden)
    given = (weight, constants, drive, *start)
    if drive.ndim == 3:
        given = tuple(value.unsqueeze(0) for value in given)
    loop: Any = _Loop.apply
    h: torch.Tensor = loop(fusion, torch.is_grad_enabled(), *given)
    return h.squeeze(0) if drive.ndim == 3 else h


def layout(fusion: Fusion, hidden: int) -> dict[str, int]:
    """Return the sizes of a tile and how it is spread over a multiprocessor.

    Chosen from what the compiler says of compute capability 8.0 and 9.0, not from measured times: the weights
    and one bin that is read ahead fit 163 KB of shared memory, and registers are spilled for more than 64
    units with plastic synapses only.
    """
    width = max(TRIALS, 1 << (hidden - 1).bit_length())
    many = fusion.kernel == "stp" or fusion.gates * width**2 > 64 * 64
    warps = 8 if many else 4
    return {"HIDDEN": hidden, "WIDTH": width, "TRIALS": TRIALS, "num_warps": warps, "num_stages": 2}


class _Loop(torch.autograd.Function):
    """Arrays are those of `cortseq.networks.training.kernels.fused`, all with a member axis."""

    @staticmethod
    def forward(
        ctx: Any,
        fusion: Fusion,
        learning: bool,
        weight: torch.Tensor,
        constants: torch.Tensor,
        drive: torch.Tensor,
        *start: torch.Tensor,
    ) -> torch.Tensor:
        n_members, n_trials, n_bins, _ = drive.shape
        weight, constants, drive = weight.contiguous(), constants.contiguous(), drive.contiguous()
        hidden = weight.shape[-1]
        states = drive.new_empty(len(start), n_members, n_trials, n_bins, hidden)
        for part, first in zip(states, start, strict=True):
            part[:, :, 0] = first
        activation = torch.empty_like(drive) if learning else drive
        ctx.fusion, ctx.grid = fusion, (n_members, -(-n_trials // TRIALS))
        ctx.layout = layout(fusion, hidden)
        arrays = weight, constants, drive, activation, states
        launch = KERNELS[fusion.kernel].forward[ctx.grid]
        launch(*arrays, n_trials, n_bins, fusion.rule, learning, **ctx.layout)
        h = states[0]
        ctx.save_for_backward(weight, constants, activation, states)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: torch.Tensor) -> Any:
        weight, constants, activation, states = ctx.saved_tensors
        n_parts, n_members, n_trials, n_bins, hidden = states.shape
        d_drive, released = torch.empty_like(activation), states[0]
        d_drive[:, :, -1] = 0  # no bin comes after the last
        if ctx.fusion.kernel == "stp":
            released = torch.empty_like(released)
            released[:, :, -1] = 0
        d_start = states.new_empty(n_parts, n_members, n_trials, hidden)
        d_constants = states.new_zeros(n_members, ctx.grid[1], *constants.shape[1:])
        KERNELS[ctx.fusion.kernel].backward[ctx.grid](
            weight,
            constants,
            activation,
            states,
            d_out.contiguous(),
            d_drive,
            released,
            d_start,
            d_constants,
            n_trials,
            n_bins,
            ctx.fusion.rule,
            **ctx.layout,
        )
        d_weight = d_drive.flatten(1, 2).mT @ released.flatten(1, 2)
        return None, None, d_weight, d_constants.sum(1), d_drive, *d_start
