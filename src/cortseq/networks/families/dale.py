"""Excitatory-inhibitory rate network under Dale's law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Fusion, State
from cortseq.networks.families.rate import Leak, leak_of, leak_start, leaky, leaky_tangent, relu_slope
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.signed import balanced_start, column_signs, signed_weights
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.rate import Kernel
else:
    torch = lazy("torch")


class Dale(Recurrent):
    """h' = (1 - a) h + a relu(W h + U x + b); column j of W has the sign of unit j, self-links optional.

    State: h >= 0 (hidden,). W = softplus(b V) / b sign (see `cortseq.networks.signed`), `excitatory` the
    fraction of units with positive columns. Song, Yang & Wang 2016 PLoS Comput Biol 12:e1004792.
    """

    fixed: ClassVar = frozenset({"sign"})

    family: Literal["dale"] = "dale"
    hidden: Annotated[int, Field(ge=2)] = 64
    excitatory: Annotated[float, Field(gt=0, lt=1)] = 0.8
    self_connections: bool = Field(False, description="units may excite or inhibit themselves")
    leak: Leak = "learned"
    radius: Annotated[float, Field(gt=0)] = Field(0.9, description="spectral radius of W at the start")

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters: W (hidden, hidden) balanced, of radius `radius`, biases above 0."""
        n = self.hidden
        signs = column_signs(n, self.excitatory)
        return {
            "raw": balanced_start(signs, self.radius, rng),
            "sign": signs,
            "input_weight": rng.normal(0, 1 / np.sqrt(n_in), (n, n_in)),
            "bias": np.full(n, 0.2),  # keeps units from starting silent, where a ReLU has no gradient
            "start": np.full(n, 0.2),
            **leak_start(self.leak, n, rng),
        }

    def derive(self, p: Params) -> Params:
        """Return `p` with the signed W as `recurrent` and a as `leak`."""
        return {
            **p,
            "recurrent": signed_weights(p["raw"], p["sign"], self.self_connections),
            "leak": leak_of(self.leak, p),
        }

    def start(self, q: Params) -> State:
        """Return h before the first bin, (..., hidden), not negative."""
        return (torch.relu(q["start"]),)

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled leaky network with a ReLU; W is (hidden, hidden)."""
        from cortseq.networks.training.kernels import rate

        return rate.Kernel(q, rectified=True)

    @property
    def fusion(self) -> Fusion:
        """Leaky units with a ReLU."""
        return Fusion("rate", "relu", ("leak",))

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, (..., trial, hidden)."""
        (h,) = state
        target = torch.relu(h @ q["recurrent"].mT + drive)
        return (leaky(h, target, q["leak"], self.leak),)

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the image of the tangent vectors, (hidden, k)."""
        (h,), (v,), w = state, vectors, q["recurrent"]
        return (leaky_tangent(v, relu_slope(h @ w.mT + drive) * (product(w, v) + moved), q["leak"]),)

    @property
    def lipschitz(self) -> float:
        """Largest slope of relu."""
        return 1.0

    @property
    def rectified(self) -> bool:
        """Units are rectified."""
        return True

    @property
    def signed(self) -> bool:
        """Every unit is excitatory or inhibitory."""
        return True


MODEL = Dale
