"""Selective state-space model: stacked diagonal recurrences that choose by what they see what they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.blocks import LEAST_DECAY, Blocks, Carried
from cortseq.networks.cell import Count
from cortseq.networks.network import affine, dropped
from cortseq.networks.tangents import product
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Chosen(NamedTuple):
    """What a block makes of the normalised stream: shapes (..., hidden), `into` and `out` (..., state_size).

    Attributes
    ----------
    raw : v before its non-linearity.
    value : v = silu(raw).
    gate : g.
    before_step : Delta before softplus.
    step : Delta.
    into, out : B and C.
    """

    raw: torch.Tensor
    value: torch.Tensor
    gate: torch.Tensor
    before_step: torch.Tensor
    step: torch.Tensor
    into: torch.Tensor
    out: torch.Tensor


class Selective(Blocks):
    """x_ij' = exp(-Delta_i r_ij) x_ij + Delta_i B_j v_i,  y_i = C . x_i' + D_i v_i,  z <- z + W (y silu(g)).

    Every layer sees norm(z), where z (hidden,) is the stream that all layers add to; it begins with the drive
    U [y_t, u_{t+1}] + b. From it the layer makes v = silu(W_v norm(z)) and the gate g = W_g norm(z),
    both (hidden,); from v it makes the step Delta = softplus(W_d v + b_d) (hidden,), and B = W_B v and C =
    W_C v, both (state_size,). Where Delta is small channel i keeps what it has and takes little in; where it
    is large it forgets, and takes v in. So what is kept depends on what is seen. At the start r is 1 ..
    state_size in every channel, and Delta lies between `step_min` and `step_max`, evenly in its logarithm. A
    further exp(-1e-6) keeps all factors below 1. The short convolution of the paper is left out.

    State: what the read-out sees (hidden,), then of each layer x_11, x_12 .. (hidden x state_size,). Gu & Dao
    2023 arXiv:2312.00752.
    """

    family: Literal["selective"] = "selective"
    state_size: Count = Field(4, description="numbers that each channel of a layer carries")
    step_min: Annotated[float, Field(gt=0)] = Field(0.01, description="least Delta at the start")
    step_max: Annotated[float, Field(gt=0)] = Field(0.5, description="largest Delta at the start")
    learning_rate: Annotated[float, Field(gt=0)] = 6e-3
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="of the gated y, of what a layer adds, and of what the read-out sees"
    )

    @model_validator(mode="after")
    def _steps(self) -> Selective:
        if self.step_min >= self.step_max:
            raise ValueError(f"step_min: {self.step_min} is not below step_max ({self.step_max})")
        return self

    @property
    def width(self) -> int:
        """All numbers of all channels."""
        return self.hidden * self.state_size

    def block_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
        """Return W_v above W_g, W_d, b_d, W_B, W_C, ln r (hidden, state_size), D and W."""
        n, m = self.hidden, self.state_size
        steps = np.exp(rng.uniform(np.log(self.step_min), np.log(self.step_max), n))
        return {
            "read_weight": rng.normal(0, 1 / np.sqrt(n), (2 * n, n)),
            "step_weight": rng.normal(0, 0.1 / np.sqrt(n), (n, n)),
            "step_bias": steps + np.log(-np.expm1(-steps)),  # softplus of it is the step
            "into": rng.normal(0, 1 / np.sqrt(n), (m, n)),
            "out": rng.normal(0, 1 / np.sqrt(n), (m, n)),
            "rate_log": np.tile(np.log(np.arange(1.0, m + 1)), (n, 1)),
            "through": np.ones(n),
            "back": rng.normal(0, 1 / np.sqrt(n), (n, n)),
        }

    def derive_block(self, b: Params) -> Params:
        """Return r as `rate`, (..., hidden x state_size)."""
        return {"rate": torch.exp(b["rate_log"]).flatten(-2)}

    def block(
        self, b: Params, seen: torch.Tensor, carried: Carried, kept: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return W (y silu(g)), (..., hidden)."""
        found = self._chosen(b, seen)
        x = carried(*self._transition(b, found))
        shown = self._read(b, found, x) * torch.nn.functional.silu(found.gate)
        return affine(b["back"], None, dropped(shown, kept))

    def _chosen(self, b: Params, seen: torch.Tensor) -> Chosen:
        raw, gate = affine(b["read_weight"], None, seen).chunk(2, -1)
        value = torch.nn.functional.silu(raw)
        before = affine(b["step_weight"], b["step_bias"], value)
        into, out = (affine(b[name], None, value) for name in ("into", "out"))
        return Chosen(raw, value, gate, before, torch.nn.functional.softplus(before), into, out)

    def _transition(self, b: Params, found: Chosen) -> tuple[torch.Tensor, torch.Tensor]:
        """Return exp(-Delta r) and Delta B v, both (..., hidden x state_size)."""
        step = found.step.repeat_interleave(self.state_size, -1)
        a = torch.exp(-step * row(b["rate"], step) - LEAST_DECAY)
        return a, _outer(found.step * found.value, found.into)

    def _read(self, b: Params, found: Chosen, x: torch.Tensor) -> torch.Tensor:
        """Return y (..., hidden) of the states x' (..., hidden x state_size)."""
        seen = x.unflatten(-1, (-1, self.state_size)) @ found.out.unsqueeze(-1)
        return seen.squeeze(-1) + row(b["through"], found.value) * found.value

    def block_tangent(
        self, b: Params, seen: torch.Tensor, moved: torch.Tensor, state: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the block adds (..., hidden), its images, those of x' (..., hidden x state_size, k)."""
        m, found = self.state_size, self._chosen(b, seen)
        d_raw, d_gate = product(b["read_weight"], moved).chunk(2, -2)
        d_value = _silu_slope(found.raw).unsqueeze(-1) * d_raw
        d_step = torch.sigmoid(found.before_step).unsqueeze(-1) * product(b["step_weight"], d_value)
        d_into, d_out = product(b["into"], d_value), product(b["out"], d_value)
        a, w = self._transition(b, found)
        x = a * state + w
        taken = found.step * found.value
        d_taken = found.value.unsqueeze(-1) * d_step + found.step.unsqueeze(-1) * d_value
        kept = a.unsqueeze(-1) * vectors
        kept = kept - (a * b["rate"] * state).unsqueeze(-1) * d_step.repeat_interleave(m, -2)
        d_x = kept.unflatten(-2, (-1, m)) + found.into[..., None, :, None] * d_taken.unsqueeze(-2)
        d_x = d_x + taken[..., None, None] * d_into.unsqueeze(-3)
        by_state = (found.out[..., None, :, None] * d_x).sum(-2)
        d_y = by_state + x.unflatten(-1, (-1, m)) @ d_out + b["through"].unsqueeze(-1) * d_value
        y, opened = self._read(b, found, x), torch.nn.functional.silu(found.gate)
        d_shown = opened.unsqueeze(-1) * d_y + (y * _silu_slope(found.gate)).unsqueeze(-1) * d_gate
        return affine(b["back"], None, y * opened), product(b["back"], d_shown), d_x.flatten(-3, -2)


def _outer(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return all products of (..., n) and (..., m), (..., n m)."""
    return (one.unsqueeze(-1) * other.unsqueeze(-2)).flatten(-2)


def _silu_slope(x: torch.Tensor) -> torch.Tensor:
    """Return the derivative of silu(x) = x sigmoid(x)."""
    share = torch.sigmoid(x)
    return share * (1 + x * (1 - share))


MODEL = Selective
