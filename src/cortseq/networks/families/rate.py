"""Leaky ("rate") and vanilla recurrent networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Fusion, State
from cortseq.networks.stacked import Stacked
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.rate import Kernel
else:
    torch = lazy("torch")

Leak = Annotated[float, Field(gt=0, le=1)] | Literal["learned"]


def leak_start(leak: Leak, hidden: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return raw leaks (hidden,), a = sigmoid(raw) about 0.5; {} where `leak` is a number."""
    return {"leak_raw": rng.uniform(-2, 2, hidden)} if leak == "learned" else {}


def leak_of(leak: Leak, p: Params) -> torch.Tensor:
    """Return a, (..., 1, hidden), or (1,) where `leak` is a number."""
    if leak == "learned":
        return torch.sigmoid(p["leak_raw"]).unsqueeze(-2)
    return torch.full((1,), leak, dtype=p["bias"].dtype, device=p["bias"].device)


def leaky(h: torch.Tensor, target: torch.Tensor, a: torch.Tensor, leak: Leak) -> torch.Tensor:
    """Return (1 - a) h + a target, (..., trial, hidden); a = 1 is the vanilla network bit for bit."""
    if h.ndim < a.ndim:  # one state without a trial axis
        a = a.squeeze(-2)
    return target if leak == 1 else torch.lerp(h, target, a.expand(target.shape))


def leaky_tangent(v: torch.Tensor, target: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return (1 - a) v + a target of tangent vectors (..., hidden, k), one member's."""
    return torch.lerp(v, target, a.reshape(-1, 1))


def tanh_slope(z: torch.Tensor) -> torch.Tensor:
    """Return tanh'(z), with an axis for tangent vectors, (..., hidden, 1)."""
    return (1 - torch.tanh(z) ** 2).unsqueeze(-1)


def relu_slope(z: torch.Tensor) -> torch.Tensor:
    """Return relu'(z), 0 at 0, (..., hidden, 1)."""
    return (z > 0).to(z.dtype).unsqueeze(-1)


class Rate(Stacked):
    """h' = (1 - a) h + a phi(W h + U x + b), the Euler form of tau dh/dt = -h + phi(...), a = dt/tau.

    State: h (hidden,) of each of `layers`. `leak` is a; "learned": one per unit, a = sigmoid(raw).
    `leak: 1` is the vanilla (Elman) network. W starts Gaussian with variance gain^2 / hidden. Sompolinsky et
    al. 1988 PRL 61:259; Mante et al. 2013 Nature 503:78.
    """

    family: Literal["rate"] = "rate"
    leak: Leak = "learned"
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    gain: Annotated[float, Field(gt=0)] = 0.9

    def layer_parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return one layer's parameters, W (hidden, hidden) Gaussian with variance gain^2 / hidden."""
        n = self.hidden
        return {
            "recurrent": rng.normal(0, self.gain / np.sqrt(n), (n, n)),
            "input_weight": rng.normal(0, 1 / np.sqrt(n_in), (n, n_in)),
            "bias": np.zeros(n),
            "start": np.zeros(n),
            **leak_start(self.leak, n, rng),
        }

    def layer_derive(self, p: Params) -> Params:
        """Return `p` with a as `leak`."""
        return {**p, "leak": leak_of(self.leak, p)}

    def layer_start(self, start: torch.Tensor) -> State:
        """Return h before the first bin, (..., hidden)."""
        return (start,)

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled leaky network with a tanh or a ReLU; W is (hidden, hidden)."""
        from cortseq.networks.training.kernels import rate

        return rate.Kernel(q, rectified=self.nonlinearity == "relu")

    @property
    def fusion(self) -> Fusion | None:
        """Leaky units with a tanh or a ReLU, in one layer."""
        return Fusion("rate", self.nonlinearity, ("leak",)) if self.layers == 1 else None

    def layer_step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, (..., trial, hidden)."""
        (h,) = state
        phi = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        target = phi(h @ q["recurrent"].mT + drive)
        return (leaky(h, target, q["leak"], self.leak),)

    @property
    def lipschitz(self) -> float | None:
        """Largest slope of tanh or relu, of one layer."""
        return 1.0 if self.layers == 1 else None

    @property
    def saturates(self) -> bool:
        """Whether units are tanh of one recurrent matrix."""
        return self.nonlinearity == "tanh" and self.layers == 1

    @property
    def rectified(self) -> bool:
        """Whether units are rectified, of one recurrent matrix."""
        return self.nonlinearity == "relu" and self.layers == 1

    def layer_tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the image of the tangent vectors, (hidden, k)."""
        (h,), (v,), w = state, vectors, q["recurrent"]
        slope = tanh_slope if self.nonlinearity == "tanh" else relu_slope
        return (leaky_tangent(v, slope(h @ w.mT + drive) * (product(w, v) + moved), q["leak"]),)


MODEL = Rate
