"""Rate network with short-term synaptic plasticity, with or without Dale's law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Fusion, State, Synapses
from cortseq.networks.families.rate import Leak, leak_of, leak_start, leaky, leaky_tangent, relu_slope
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.signed import balanced_start, column_signs, signed_weights
from cortseq.networks.tangents import combined, product

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.kernels.stp import Kernel
else:
    torch = lazy("torch")

# Facilitating and depressing synapses of Mongillo et al. 2008 Science 319:1543 and Masse et al. 2019
# Nat Neurosci 22:1159: U, tau_fac (s), tau_rec (s).
FACILITATING, DEPRESSING = (0.15, 1.5, 0.2), (0.45, 0.2, 1.5)


class Stp(Recurrent):
    """Tsodyks-Markram synapses between rate units: h' = (1 - a) h + a relu(W (u x / U * h) + I + b).

    Per presynaptic unit with rate r = rate_scale relu(h) Hz:
    du/dt = (U - u)/tau_fac + U (1 - u) r,   dx/dt = (1 - x)/tau_rec - u x r.
    Both are relaxed in closed form within a bin at constant r, u first, so U <= u <= 1 and 0 <= x <= 1
    hold at any bin width. The efficacy is divided by U so that weights keep their scale at rest.
    State: (h, u, x), 3 x hidden. U and the time constants are learned per unit, from facilitating and
    depressing units in turn. At the start of a trial u and x are at their steady state.
    Tsodyks, Pawelzik & Markram 1998 Neural Comput 10:821.
    """

    fixed: ClassVar = frozenset({"sign", "bin_width"})

    family: Literal["stp"] = "stp"
    hidden: Annotated[int, Field(ge=2)] = 64
    dale: bool = Field(False, description="column signs by Dale's law")
    excitatory: Annotated[float, Field(gt=0, lt=1)] = 0.8
    self_connections: bool = Field(False, description="under Dale's law: units may drive themselves")
    leak: Leak = "learned"
    rate_scale: Annotated[float, Field(gt=0)] = Field(20.0, description="Hz per unit of activity")
    radius: Annotated[float, Field(gt=0)] = 0.9

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a small specification under Dale's law."""
        return super().small(**{"dale": True, **more})

    @property
    def state_parts(self) -> int:
        """The state is h, u and x."""
        return 3

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters (hidden,): facilitating and depressing synapses in turn."""
        n = self.hidden
        signs = column_signs(n, self.excitatory)
        kinds = np.where(np.arange(n)[:, None] % 2 == 0, FACILITATING, DEPRESSING)
        use, fac, rec = kinds.T
        if self.dale:
            weights = {"raw": balanced_start(signs, self.radius, rng), "sign": signs}
        else:
            weights = {"recurrent": rng.normal(0, self.radius / np.sqrt(n), (n, n))}
        return {
            **weights,
            "use_raw": np.log(use / (1 - use)),
            "fac_log": np.log(fac),
            "rec_log": np.log(rec),
            "bin_width": np.array([bin_width]),
            "input_weight": rng.normal(0, 1 / np.sqrt(n_in), (n, n_in)),
            "bias": np.full(n, 0.2),
            "start": np.full(n, 0.2),
            **leak_start(self.leak, n, rng),
        }

    def derive(self, p: Params) -> Params:
        """Return `p` with U, the rates of recovery in Hz, dt in s, a as `leak`, and W where it is signed."""
        q = {
            **p,
            "use": torch.sigmoid(p["use_raw"]).unsqueeze(-2),
            "fac_rate": torch.exp(-p["fac_log"]).unsqueeze(-2),
            "rec_rate": torch.exp(-p["rec_log"]).unsqueeze(-2),
            "dt": p["bin_width"].unsqueeze(-2),
            "leak": leak_of(self.leak, p),
        }
        if self.dale:
            q["recurrent"] = signed_weights(p["raw"], p["sign"], self.self_connections)
        return q

    def start(self, q: Params) -> State:
        """Return h before the first bin, and u and x at their steady state for it, each (..., hidden)."""
        h = torch.relu(q["start"])
        use, fac, rec = (q[k].squeeze(-2) for k in ("use", "fac_rate", "rec_rate"))
        r = self.rate_scale * h
        u = use * (fac + r) / (fac + use * r)
        return h, u, rec / (rec + u * r)

    def kernel(self, q: dict[str, np.ndarray]) -> Kernel:
        """Return the compiled network with plastic synapses; W is (hidden, hidden)."""
        from cortseq.networks.training.kernels import stp

        return stp.Kernel(q, self.rate_scale)

    @property
    def fusion(self) -> Fusion:
        """Leaky units with plastic synapses."""
        return Fusion("stp", self.rate_scale, ("leak", "use", "fac_rate", "rec_rate", "dt"))

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next h, u and x, each (..., trial, hidden)."""
        h, u, x = state
        use, active, _, to_u, to_x = self._recovery(q, h, u)
        u, x = _towards(u, *to_u[1:]), _towards(x, *to_x[1:])
        target = torch.relu((u * x / use * active) @ q["recurrent"].mT + drive)
        return leaky(h, target, _row(q["leak"], h), self.leak), u, x

    def _recovery(self, q: Params, h: torch.Tensor, u: torch.Tensor) -> tuple[Any, ...]:
        """Return U, the active h, its rate r, and for u and x where they go: speed, target, what stays."""
        use, fac, rec, dt = (_row(q[k], h) for k in ("use", "fac_rate", "rec_rate", "dt"))
        active = torch.relu(h)  # h < 0 is never reached, but a root search may ask for it
        r = self.rate_scale * active
        speed = fac + use * r
        to_u = speed, use * (fac + r) / speed, torch.exp(-dt * speed)
        speed = rec + _towards(u, *to_u[1:]) * r
        return use, active, r, to_u, (speed, rec / speed, torch.exp(-dt * speed))

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the images of the tangent vectors of h, u and x, each (hidden, k)."""
        h, u, x = state
        d_h, d_u, d_x = vectors
        fac, dt = _row(q["fac_rate"], h), _row(q["dt"], h)
        use, active, r, (speed, target, stay), to_x = self._recovery(q, h, u)
        d_active = (h > 0).to(h.dtype)
        d_r = self.rate_scale * d_active
        d_target = use * fac * (1 - use) / speed**2  # by r, as d_stay
        d_stay = -dt * use * stay
        by_h = ((1 - stay) * d_target + d_stay * (u - target)) * d_r
        d_u = combined((stay, d_u), (by_h, d_h))
        u, (speed, target, stay) = _towards(u, target, stay), to_x
        by_speed = -((1 - stay) * target / speed + dt * stay * (x - target))
        d_x = combined((stay, d_x), (by_speed * r, d_u), (by_speed * u * d_r, d_h))
        x, share = _towards(x, target, stay), active / use
        d_released = combined((share * x, d_u), (share * u, d_x), (u * x * d_active / use, d_h))
        w = q["recurrent"]
        slope = relu_slope((u * x / use * active) @ w.mT + drive)
        return leaky_tangent(d_h, slope * (product(w, d_released) + moved), q["leak"]), d_u, d_x

    @property
    def signed(self) -> bool:
        """Whether `dale` is set."""
        return self.dale

    def synapses(self, q: Params) -> Synapses:
        """Return U and the rates of recovery in Hz."""
        return Synapses(*(q[name].squeeze(-2) for name in ("use", "fac_rate", "rec_rate")))


def _row(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return what holds of each unit without its axis of trials, where `like` is one state without one."""
    return value.squeeze(-2) if like.ndim == 1 and value.ndim > 1 else value


def _towards(value: torch.Tensor, target: torch.Tensor, stay: torch.Tensor) -> torch.Tensor:
    """Return the value after it decayed to its target, of which a share `stay` of the distance is left."""
    return target + (value - target) * stay


MODEL = Stp
