"""Echo-state network: a fixed random reservoir under a trained read-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import Fit, Learned, Model, Run
from cortseq.models.work import Size, Work
from cortseq.networks.cell import State
from cortseq.networks.families.rate import leaky, leaky_tangent, tanh_slope
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

PENALTIES = np.logspace(0, -8, 13)  # per bin; from strong to weak, each warm-starting the next


class Esn(Recurrent):
    """h' = (1 - a) h + a tanh(W h + s U x + b) with W, U, b fixed; only the read-out is learned.

    W is Gaussian, a share `density` of its entries not zero, scaled so that the leaky map's radius
    max_i |(1 - a) + a lambda_i| is `radius`. The input is divided by its training standard deviation, times
    `input_scale`. Read-out: L2-penalised Poisson or multinomial regression by L-BFGS down a path of penalties
    in the eigenbasis of the state covariance, for signals ridge in closed form; the penalty is chosen on
    validation. State: h (hidden,). Jaeger 2001, GMD report 148.
    """

    fixed: ClassVar = frozenset({"recurrent", "input_weight", "bias", "start", "leak"})

    reservoir: ClassVar = True
    uses_gpu: ClassVar = False

    family: Literal["esn"] = "esn"
    hidden: Annotated[int, Field(ge=1)] = 300
    radius: Annotated[float, Field(gt=0)] = 0.99
    density: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="share of connections that exist")
    leak: Annotated[float, Field(gt=0, le=1)] = 0.4
    input_scale: Annotated[float, Field(gt=0)] = Field(0.03, description="of the standardised input")
    bias_scale: Annotated[float, Field(ge=0)] = 0.2

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a small specification with a reservoir of 20 units."""
        return super().small(**{"hidden": 20, **more})

    @model_validator(mode="after")
    def _nothing_carried(self) -> Self:
        for key in ("after", "across"):
            if getattr(self, key) is not None:
                raise ValueError(
                    f"{key}: the cell of an esn is never trained, so sessions share nothing -- leave it out"
                )
        return self

    def check_start(self, start: Fit, shape: dict[str, Any]) -> None:
        """Raise a CortseqError: the cell is never trained, so nothing is carried over."""
        Model.check_start(self, start, shape)

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters: the reservoir (hidden, hidden), its input weights, biases."""
        n = self.hidden
        weights = rng.normal(size=(n, n)) / np.sqrt(n * self.density)
        if self.density < 1:
            weights *= rng.random((n, n)) < self.density
        return {
            "recurrent": scaled_reservoir(weights, self.radius, self.leak),
            "input_weight": rng.normal(0, self.input_scale, (n, n_in)),
            "bias": rng.normal(0, self.bias_scale, n),
            "start": np.zeros(n),
            "leak": np.array([self.leak]),
        }

    def start(self, q: Params) -> State:
        """Return h before the first bin, (..., hidden)."""
        return (q["start"],)

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, (..., trial, hidden)."""
        (h,) = state
        a = q["leak"] if h.ndim == 1 else q["leak"].unsqueeze(-2)
        return (leaky(h, torch.tanh(h @ q["recurrent"].mT + drive), a, self.leak),)

    @property
    def lipschitz(self) -> float:
        """Largest slope of tanh."""
        return 1.0

    @property
    def saturates(self) -> bool:
        """Units are tanh."""
        return True

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the image of the tangent vectors, (hidden, k)."""
        (h,), (v,), w = state, vectors, q["recurrent"]
        return (leaky_tangent(v, tanh_slope(h @ w.mT + drive) * (product(w, v) + moved), q["leak"]),)

    def compiled_states(self, p: Params, x: torch.Tensor) -> torch.Tensor | None:
        """Return h before each bin (trial, time, hidden) where nothing is differentiated, else None."""
        if torch.is_grad_enabled() or x.ndim != 3 or x.is_cuda or self.execution == "generic":
            return None
        from cortseq.networks.training.kernels import reservoir

        h = reservoir.states({name: value.numpy() for name, value in p.items()}, x.numpy())
        return torch.from_numpy(h).transpose(0, 1)

    def work(self, size: Size) -> Work:
        """Return the arithmetic of a run, the eigenvalues of the weights and the path of penalties."""
        bins = size.members * size.learned * self.hidden
        return {
            "fit": float(size.members),
            "eigenvalues": float(size.members * self.hidden**3),
            "product": float(bins * self.hidden),
            "regression": float(bins * size.features),
        }

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Scale the input by its training sd and fit the read-out; choose its penalty on validation."""
        from cortseq.networks.training import convex

        network = self.network(train)
        params = self.initial(train, run.members, run.seed, valid=valid)
        tells_missing = train.has_gaps
        train, valid = (network.given(params, data) for data in (train, valid))
        every = []
        chosen = []
        for member in range(run.members):
            p = {name: value[member].clone() for name, value in params.items()}
            x = network.tensors(p, train, slice(None), torch.float32)[0][torch.as_tensor(train.valid)]
            scale = x.std(0).clamp_min(1e-3)
            if tells_missing:
                scale[-1] = 1.0  # it is 0 in every bin that was observed
            p["input_weight"] /= scale
            readout, penalty = convex.fit_readout(network, p, train, valid, PENALTIES)
            every.append({**p, **readout})
            chosen.append(penalty)
            run.progress(f"esn member {member}: penalty {penalty:.1e}")
        n_free = sum(every[0][k].numel() for k in every[0] if k not in network.fixed)
        return Learned(
            {name: torch.stack([e[name] for e in every]) for name in every[0]},
            n_free,
            card={"penalties": chosen, "settings_tried": len(PENALTIES), "device": "cpu"},
        )


def scaled_reservoir(weights: np.ndarray, radius: float, leak: float = 1.0) -> np.ndarray:
    """Scale W (hidden, hidden) so that max_i |(1 - a) + a lambda_i| = `radius` (to 1e-9), a = leak.

    A leaky reservoir has radius at least about 1 - a where W = 0; asked for less, W shrinks to that.
    """
    eigenvalues = np.linalg.eigvals(weights)
    if np.abs(eigenvalues).max() < 1e-6:
        raise CortseqError("the reservoir has no loop", key="density", fix="raise density or hidden")

    def reached(factor: float) -> float:
        return float(np.abs(1 - leak + leak * factor * eigenvalues).max())

    low, high = 0.0, 1.0
    while reached(high) < radius:
        low, high = high, 2 * high
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if reached(middle) < radius else (low, middle)
    return weights * high


MODEL = Esn
