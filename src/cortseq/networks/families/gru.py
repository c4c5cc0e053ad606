"""Gated recurrent unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import State
from cortseq.networks.stacked import Stacked
from cortseq.networks.tangents import product
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.gru import Kernel
else:
    torch = lazy("torch")


class Gru(Stacked):
    """h' = (1 - z) n + z h,  gates r, z = sigmoid(W h + U x + b),  n = tanh(U_n x + b_n + r (W_n h + c)).

    State: h (hidden,) of each of `layers`. Rows of W, U, b are ordered r, z, n as in torch.nn.GRU;
    `update_bias` is the start of z's bias (1: units keep 73 % of their state a bin). Cho et al. 2014
    arXiv:1406.1078.
    """

    gate_names: ClassVar = ("reset", "update")
    family: Literal["gru"] = "gru"
    update_bias: float = 1.0
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    def layer_parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return one layer's parameters: orthogonal blocks W (3 hidden, hidden), `update_bias` in b."""
        n = self.hidden
        bias = np.zeros(3 * n)
        bias[n : 2 * n] = self.update_bias
        return {
            "recurrent": np.concatenate([np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(3)]),
            "input_weight": rng.uniform(-1, 1, (3 * n, n_in)) / np.sqrt(n_in),
            "bias": bias,
            "candidate_bias": np.zeros(n),
            "start": np.zeros(n),
        }

    def layer_start(self, start: torch.Tensor) -> State:
        """Return h before the first bin, (..., hidden), between -1 and 1."""
        return (torch.tanh(start),)

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled GRU; W is (3 hidden, hidden)."""
        from cortseq.networks.training.kernels import gru

        return gru.Kernel(q)

    def layer_step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, (..., trial, hidden)."""
        (h,) = state
        _, z, _, candidate = self._gates(q, h, drive)
        return (torch.lerp(candidate, h, z),)

    def _gates(self, q: Params, h: torch.Tensor, drive: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """r, z, W_n h + c and n, (..., hidden)."""
        n = self.hidden
        w_gates, w_candidate = (h @ q["recurrent"].mT).split((2 * n, n), -1)
        u_gates, u_candidate = drive.split((2 * n, n), -1)
        r, z = torch.sigmoid(w_gates + u_gates).chunk(2, -1)
        inner = w_candidate + row(q["candidate_bias"], h)
        return r, z, inner, torch.tanh(u_candidate + r * inner)

    def layer_tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the image of the tangent vectors, (hidden, k)."""
        (h,), (v,) = state, vectors
        r, z, inner, n = (part.unsqueeze(-1) for part in self._gates(q, h, drive))
        w_r, w_z, w_n = product(q["recurrent"], v).chunk(3, -2)
        u_r, u_z, u_n = moved.chunk(3, -2)
        d_n = (1 - n**2) * (u_n + r * w_n + inner * r * (1 - r) * (w_r + u_r))
        return (torch.lerp(d_n, v, z) + (h.unsqueeze(-1) - n) * z * (1 - z) * (w_z + u_z),)

    def layer_gates(self, q: Params, state: State, drive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return r as "reset" and z as "update", (..., hidden)."""
        return dict(zip(self.gate_names, self._gates(q, state[0], drive)[:2], strict=True))

    def recurrent_weights(self, p: Params) -> torch.Tensor:
        """Return the candidate's block, (..., hidden, hidden).

        Its spectrum means what a rate network's does.
        """
        weights: torch.Tensor = p["recurrent"][..., 2 * self.hidden :, :]
        return weights


MODEL = Gru
