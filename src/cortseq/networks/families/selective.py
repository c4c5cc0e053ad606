"""Selective state-space model: stacked diagonal recurrences whose memory depends on what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Count
from cortseq.networks.network import affine
from cortseq.networks.stack import LEAST_DECAY, Carried, Stack
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Selective(Stack):
    family: Literal["selective"] = "selective"
    state_size: Count = Field(4, description="numbers that each channel carries")
    step_min: float = 0.01
    step_max: float = 0.5
    learning_rate: float = 3e-3
    input_dropout: float = 0.1
    hidden_dropout: float = 0.2

    @property
    def width(self) -> int:
        return self.hidden * self.state_size

    def block_parameters(self, rng):
        n, m = self.hidden, self.state_size
        steps = np.exp(rng.uniform(np.log(self.step_min), np.log(self.step_max), n))
        return {
            "read_weight": rng.normal(0, 1 / np.sqrt(n), (2 * n, n)),
            "step_weight": rng.normal(0, 0.1 / np.sqrt(n), (n, n)),
            "step_bias": steps + np.log(-np.expm1(-steps)),
            "into": rng.normal(0, 1 / np.sqrt(n), (m, n)),
            "out": rng.normal(0, 1 / np.sqrt(n), (m, n)),
            "rate_log": np.log(np.tile(np.arange(1.0, m + 1), (n, 1))),
            "through": np.ones(n),
            "back": rng.normal(0, 1 / np.sqrt(n), (n, n)),
        }

    def derive_block(self, b):
        return {"rate": torch.exp(b["rate_log"]).flatten(-2)}

    def block(self, b, seen, carried):
        silu, softplus = torch.nn.functional.silu, torch.nn.functional.softplus
        value, gate = affine(b["read_weight"], None, seen).chunk(2, -1)
        value = silu(value)
        step = softplus(affine(b["step_weight"], b["step_bias"], value))
        m = self.state_size
        a = torch.exp(-step.repeat_interleave(m, -1) * row(b["rate"], step) - LEAST_DECAY)
        w = ((step * value).unsqueeze(-1) * affine(b["into"], None, value).unsqueeze(-2)).flatten(-2)
        x = carried(a, w).unflatten(-1, (-1, m))
        y = (x @ affine(b["out"], None, value).unsqueeze(-1)).squeeze(-1) + row(b["through"], value) * value
        return affine(b["back"], None, y * silu(gate))


MODEL = Selective
