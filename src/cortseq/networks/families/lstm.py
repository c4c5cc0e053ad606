"""Long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Fusion, State
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.lstm import Kernel
else:
    torch = lazy("torch")


class Lstm(Recurrent):
    """c' = f c + i g,  h' = o tanh(c'),  gates i, f, o = sigmoid(W h + U x + b), candidate g = tanh(...).

    State: (h, c), 2 x hidden. Rows of W, U, b are ordered i, f, g, o as in torch.nn.LSTM; `forget_bias`
    is the start of f's bias (its horizon is -1/ln sigmoid(b) bins). Hochreiter & Schmidhuber 1997;
    Gers et al. 2000.
    """

    has_kernel: ClassVar = True
    gate_names: ClassVar = ("input", "forget", "output")

    family: Literal["lstm"] = "lstm"
    forget_bias: float = 1.0
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    @property
    def state_parts(self) -> int:
        """The state is h and c."""
        return 2

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters: orthogonal blocks W (4 hidden, hidden), `forget_bias` in b."""
        n = self.hidden
        bias = np.zeros(4 * n)
        bias[n : 2 * n] = self.forget_bias
        return {
            "recurrent": np.concatenate([np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(4)]),
            "input_weight": rng.uniform(-1, 1, (4 * n, n_in)) / np.sqrt(n_in),
            "bias": bias,
            "start": np.zeros(2 * n),
        }

    def start(self, q: Params) -> State:
        """Return h and c before the first bin, each (..., hidden); h is between -1 and 1."""
        h, c = q["start"].chunk(2, -1)
        return torch.tanh(h), c

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled LSTM; W is (4 hidden, hidden)."""
        from cortseq.networks.training.kernels import lstm

        return lstm.Kernel(q)

    @property
    def fusion(self) -> Fusion:
        """The LSTM."""
        return Fusion("lstm", 0.0, gates=4)

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h and c, each (..., trial, hidden)."""
        h, c = state
        i, f, g, o = (h @ q["recurrent"].mT + drive).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the images of the tangent vectors of h and c, each (hidden, k)."""
        h, c = state
        d_h, d_c = vectors
        w = q["recurrent"]
        i, f, g, o = (h @ w.mT + drive).chunk(4, -1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        out = torch.tanh(f * c + i * g)
        gains = torch.cat([i * (1 - i) * g, f * (1 - f) * c, i * (1 - g**2), o * (1 - o) * out], -1)
        d_i, d_f, d_g, d_o = (gains.unsqueeze(-1) * (product(w, d_h) + moved)).chunk(4, -2)
        d_c = f.unsqueeze(-1) * d_c + d_i + d_f + d_g
        return d_o + (o * (1 - out**2)).unsqueeze(-1) * d_c, d_c

    def gates(self, q: Params, state: State, drive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return i as "input", f as "forget" and o as "output", (..., hidden)."""
        i, f, _, o = (state[0] @ q["recurrent"].mT + drive).chunk(4, -1)
        return dict(zip(self.gate_names, map(torch.sigmoid, (i, f, o)), strict=True))

    def recurrent_weights(self, p: Params) -> torch.Tensor:
        """Return the candidate's block, (..., hidden, hidden).

        Its spectrum means what a rate network's does.
        """
        n = self.hidden
        weights: torch.Tensor = p["recurrent"][..., 2 * n : 3 * n, :]
        return weights


MODEL = Lstm
