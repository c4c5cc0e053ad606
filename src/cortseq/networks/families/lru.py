"""Linear recurrent unit: stacked complex diagonal recurrences with gated read-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.network import affine
from cortseq.networks.stack import LEAST_DECAY, Carried, Stack, unpaired
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

class Lru(Stack):
    """x' = lambda x + gamma B v,  y = Re(C x') + D v,  z = z + glu(W gelu(y) + c), v = norm(z), in every layer.

    lambda = exp(-exp(nu) + i exp(theta)), so |lambda| < 1 for any parameters; gamma = sqrt(1 - |lambda|^2) keeps
    the size of x. ...
    Orvieto et al. 2023 arXiv:2303.06349.
    """

    family: Literal["lru"] = "lru"
    modes: Annotated[int, Field(ge=1)] | None = None
    r_min: float = 0.4
    r_max: float = 0.99
    max_phase: float = 0.6
    learning_rate: float = 3e-3
    input_dropout: float = 0.1
    hidden_dropout: float = 0.2

    @property
    def m(self):
        return self.modes or self.hidden

    @property
    def width(self) -> int:
        return 2 * self.m

    def block_parameters(self, rng):
        n, m = self.hidden, self.m
        modulus = np.sqrt(rng.uniform(self.r_min**2, self.r_max**2, m))
        return {
            "nu": np.log(-np.log(modulus)),
            "theta": np.log(rng.uniform(0, self.max_phase, m)),
            "into": rng.normal(0, 1 / np.sqrt(2 * n), (2 * m, n)),
            "out": rng.normal(0, 1 / np.sqrt(m), (n, 2 * m)),
            "through": rng.normal(0, 1, n),
            "gate_weight": rng.normal(0, 1 / np.sqrt(n), (2 * n, n)),
            "gate_bias": np.zeros(2 * n),
        }

    def derive_block(self, b):
        decay = torch.exp(b["nu"]) + LEAST_DECAY
        lam = torch.polar(torch.exp(-decay), torch.exp(b["theta"]))
        gamma = torch.sqrt(-torch.expm1(-2 * decay))
        return {"lambda": torch.view_as_real(lam), "scaled": gamma.repeat_interleave(2, -1).unsqueeze(-1) * b["into"]}

    def block(self, b, seen, carried):
        w = affine(b["scaled"], None, seen)
        x = carried(torch.view_as_complex(b["lambda"]), torch.view_as_complex(w.unflatten(-1, (-1, 2))))
        y = affine(b["out"], None, unpaired(x)) + row(b["through"], seen) * seen
        y = torch.nn.functional.gelu(y)
        return torch.nn.functional.glu(affine(b["gate_weight"], b["gate_bias"], y), -1)


MODEL = Lru
