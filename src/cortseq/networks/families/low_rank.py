"""Rate network whose recurrent matrix has low rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Count, Fusion, State
from cortseq.networks.families.rate import (
    Leak,
    leak_of,
    leak_start,
    leaky,
    leaky_tangent,
    relu_slope,
    tanh_slope,
)
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.rate import Kernel
else:
    torch = lazy("torch")


class LowRank(Recurrent):
    """h' = (1 - a) h + a phi(W h + U x + b),  W = M N^T / hidden, M and N (hidden, rank).

    State: h (hidden,); the recurrent input lives in the `rank` directions of M. phi is tanh or ReLU; with a
    ReLU all fixed points of the network are known (`cortseq.dynamics.every_fixed_point`). M starts normal and
    N = gain M Q with Q orthogonal, so that W's non-zero eigenvalues start near modulus `gain`.
    Mastrogiuseppe & Ostojic 2018 Neuron 99:609; Valente, Pillow & Ostojic 2022 arXiv:2110.09804; Pals et al.
    2024 arXiv:2406.16749.
    """

    family: Literal["low_rank"] = "low_rank"
    rank: Count = 4
    leak: Leak = "learned"
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    gain: Annotated[float, Field(gt=0)] = 0.9

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a small specification of rank 2."""
        return super().small(**{"rank": 2, **more})

    @model_validator(mode="after")
    def _rank_fits(self) -> Self:
        if self.rank > self.hidden:
            raise ValueError(f"rank: {self.rank} is more than hidden ({self.hidden})")
        return self

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters, M as `left` and N as `right`, each (hidden, rank)."""
        n = self.hidden
        left = rng.normal(size=(n, self.rank))
        turn = np.linalg.qr(rng.normal(size=(self.rank, self.rank)))[0]
        return {
            "left": left,
            "right": self.gain * left @ turn,
            "input_weight": rng.normal(0, 1 / np.sqrt(n_in), (n, n_in)),
            "bias": np.zeros(n),
            "start": np.zeros(n),
            **leak_start(self.leak, n, rng),
        }

    def derive(self, p: Params) -> Params:
        """Return `p` with W as `recurrent` and a as `leak`."""
        weight = p["left"] @ p["right"].mT / self.hidden
        return {**p, "recurrent": weight, "leak": leak_of(self.leak, p)}

    def start(self, q: Params) -> State:
        """Return h before the first bin, (..., hidden)."""
        return (q["start"],)

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled leaky network with a tanh or a ReLU; W is (hidden, hidden)."""
        from cortseq.networks.training.kernels import rate

        return rate.Kernel(q, self.rectified)

    @property
    def fusion(self) -> Fusion:
        """Leaky units with a tanh or a ReLU; W is (hidden, hidden)."""
        return Fusion("rate", self.nonlinearity, ("leak",))

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, (..., trial, hidden)."""
        (h,) = state
        phi = torch.relu if self.rectified else torch.tanh
        target = phi(h @ q["recurrent"].mT + drive)
        return (leaky(h, target, q["leak"], self.leak),)

    @property
    def lipschitz(self) -> float:
        """Largest slope of tanh or relu."""
        return 1.0

    @property
    def saturates(self) -> bool:
        """Whether units are tanh."""
        return not self.rectified

    @property
    def rectified(self) -> bool:
        """Whether units are rectified."""
        return self.nonlinearity == "relu"

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the image of the tangent vectors, (hidden, k), in the order that costs rank x hidden."""
        (h,), (v,) = state, vectors
        slope = relu_slope if self.rectified else tanh_slope
        through = product(q["left"], product(q["right"].mT, v)) / self.hidden
        moved_target = slope(h @ q["recurrent"].mT + drive) * (through + moved)
        return (leaky_tangent(v, moved_target, q["leak"]),)


MODEL = LowRank
