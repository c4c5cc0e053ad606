"""Linear recurrent unit: stacked complex diagonal recurrences with gated read-outs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.blocks import LEAST_DECAY, Blocks, Carried, paired, unpaired
from cortseq.networks.network import affine, dropped
from cortseq.networks.tangents import combined, product
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Lru(Blocks):
    """x' = lambda x + gamma B v,  y = Re(C x') + D v,  z <- z + p sigmoid(g), (p, g) = W gelu(y) + c.

    Every layer has `hidden` / 2 complex numbers x. It sees v = norm(z), where z (hidden,) is the stream that
    all layers add to, and which begins with the drive U [y_t, u_{t+1}] + b. nu and theta are learned, and
    lambda = exp(-exp(nu) - 1e-6 + i exp(theta)), so that |lambda| < 1 for all their values. With
    gamma = sqrt(1 - |lambda|^2) the size of x is the same whatever its memory. At the start the lambda
    lie in the ring `radius_min` <= |lambda| <= `radius_max`, evenly over its area, with phases from 0 to
    `phase_max`.

    State: what the read-out sees (hidden,), then of each layer Re x_1, Im x_1, Re x_2 .. (hidden,). In the
    open loop the eigenvalues of the Jacobian are 0, all lambda and their conjugates. Orvieto et al. 2023
    arXiv:2303.06349.
    """

    family: Literal["lru"] = "lru"
    hidden: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    radius_min: Annotated[float, Field(ge=0, lt=1)] = Field(0.4, description="least |lambda| at the start")
    radius_max: Annotated[float, Field(gt=0, lt=1)] = Field(0.99, description="largest |lambda| at the start")
    phase_max: Annotated[float, Field(gt=0, le=math.pi)] = Field(
        0.6, description="largest phase of lambda at the start, radians per bin"
    )
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="of gelu(y), of what a layer adds, and of what the read-out sees"
    )

    @model_validator(mode="after")
    def _ring(self) -> Lru:
        if self.radius_min >= self.radius_max:
            raise ValueError(f"radius_min: {self.radius_min} is not below radius_max ({self.radius_max})")
        return self

    @property
    def width(self) -> int:
        """Real and imaginary parts of all x."""
        return self.hidden

    def block_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
        """Return nu, theta (hidden / 2,), B, C (hidden, hidden), D (hidden,), and W, c of the gate.

        Rows of B and columns of C belong to real and imaginary parts in turn.
        """
        n = self.hidden
        modulus = np.sqrt(rng.uniform(self.radius_min**2, self.radius_max**2, n // 2))
        return {
            "nu": np.log(-np.log(modulus)),
            "theta": np.log(rng.uniform(0, self.phase_max, n // 2)),
            "into": rng.normal(0, 1 / np.sqrt(2 * n), (n, n)),
            "out": rng.normal(0, np.sqrt(2 / n), (n, n)),
            "through": rng.normal(0, 1, n),
            "gate_weight": rng.normal(0, 1 / np.sqrt(n), (2 * n, n)),
            "gate_bias": np.zeros(2 * n),
        }

    def derive_block(self, b: Params) -> Params:
        """Return lambda as (..., hidden / 2, 2), real and imaginary part, and gamma B as `scaled`."""
        decay = torch.exp(b["nu"]) + LEAST_DECAY
        eigenvalues = torch.polar(torch.exp(-decay), torch.exp(b["theta"]))
        gamma = torch.sqrt(-torch.expm1(-2 * decay)).repeat_interleave(2, -1)
        return {"lambda": torch.view_as_real(eigenvalues), "scaled": gamma.unsqueeze(-1) * b["into"]}

    def block(
        self, b: Params, seen: torch.Tensor, carried: Carried, kept: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return p sigmoid(g), (..., hidden)."""
        w = paired(affine(b["scaled"], None, seen))
        x = carried(torch.view_as_complex(b["lambda"]), w)
        _, p, g = self._gated(b, seen, unpaired(x), kept)
        return p * torch.sigmoid(g)

    def _gated(
        self, b: Params, seen: torch.Tensor, x: torch.Tensor, kept: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return y, p and g, each (..., hidden), of the states x' (..., hidden)."""
        y = affine(b["out"], None, x) + row(b["through"], seen) * seen
        opened = dropped(torch.nn.functional.gelu(y), kept)
        p, g = affine(b["gate_weight"], b["gate_bias"], opened).chunk(2, -1)
        return y, p, g

    def block_tangent(
        self, b: Params, seen: torch.Tensor, moved: torch.Tensor, state: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the block adds (..., hidden), its images, and those of x' (..., hidden, k)."""
        x = unpaired(torch.view_as_complex(b["lambda"]) * paired(state)) + affine(b["scaled"], None, seen)
        y, p, g = self._gated(b, seen, x)
        images = _turned(b["lambda"], vectors) + product(b["scaled"], moved)
        d_y = product(b["out"], images) + b["through"].unsqueeze(-1) * moved
        d_p, d_g = product(b["gate_weight"], _gelu_slope(y).unsqueeze(-1) * d_y).chunk(2, -2)
        open_ = torch.sigmoid(g)
        return p * open_, combined((open_, d_p), (p * open_ * (1 - open_), d_g)), images


def _turned(eigenvalues: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Return lambda v for vectors (..., hidden, k) whose rows are real and imaginary parts in turn."""
    re, im = eigenvalues.unsqueeze(-1).unbind(-2)
    v_re, v_im = vectors[..., ::2, :], vectors[..., 1::2, :]
    return torch.stack([re * v_re - im * v_im, re * v_im + im * v_re], -2).flatten(-3, -2)


def _gelu_slope(y: torch.Tensor) -> torch.Tensor:
    """Return the derivative of gelu(y) = y Phi(y), where Phi is the normal distribution function."""
    density = torch.exp(-0.5 * y**2) / math.sqrt(2 * math.pi)
    return torch.special.ndtr(y) + y * density


MODEL = Lru
