"""Rate units with Tsodyks-Markram synapses; equations in `cortseq.networks.families.stp`."""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled import matrix
from cortseq.compiled.functions import OPTIONS, exp
from cortseq.networks.training.kernels.rate import Buffer


@njit(**OPTIONS)
def forward(
    h: np.ndarray,
    u: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    a: np.ndarray,
    use: np.ndarray,
    fac: np.ndarray,
    rec: np.ndarray,
    dt: float,
    rate_scale: float,
) -> None:
    """States [1:] from [0]; z becomes relu(W e + z), e the released activity u x / U * h.

    use = U, fac = 1/tau_fac, rec = 1/tau_rec (hidden,); weight = packed(W^T).
    """
    n_trials, n = h.shape[1:]
    product, e = np.empty((n_trials, n), h.dtype), np.empty((n_trials, n), h.dtype)
    zero, one = h.dtype.type(0), h.dtype.type(1)
    per_use = one / use
    for t in range(z.shape[0]):
        for k in range(n_trials):
            before, u0, x0, u1, x1, release = h[t, k], u[t, k], x[t, k], u[t + 1, k], x[t + 1, k], e[k]
            for j in range(n):
                active = max(before[j], zero)
                r = rate_scale * active
                speed = fac[j] + use[j] * r
                target = use[j] * (fac[j] + r) / speed
                risen = target + (u0[j] - target) * exp(-dt * speed)
                speed = rec[j] + risen * r
                target = rec[j] / speed
                left = target + (x0[j] - target) * exp(-dt * speed)
                u1[j], x1[j] = risen, left
                release[j] = risen * left * per_use[j] * active
        matrix.multiply(e, weight, product)
        for k in range(n_trials):
            before, after, drive, w = h[t, k], h[t + 1, k], z[t, k], product[k]
            for j in range(n):
                s = max(w[j] + drive[j], zero)
                drive[j] = s
                after[j] = (one - a[j]) * before[j] + a[j] * s


@njit(**OPTIONS)
def backward(
    h: np.ndarray,
    u: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    e: np.ndarray,
    weight: np.ndarray,
    a: np.ndarray,
    use: np.ndarray,
    fac: np.ndarray,
    rec: np.ndarray,
    dt: float,
    rate_scale: float,
    d_out: np.ndarray,
    d_h: np.ndarray,
    d_u: np.ndarray,
    d_x: np.ndarray,
    d_a: np.ndarray,
    d_use: np.ndarray,
    d_fac: np.ndarray,
    d_rec: np.ndarray,
) -> None:
    """Backpropagation through time: z becomes d loss / d (W e + z), e is written. weight = packed(W).

    d_h, d_u, d_x (trial, hidden) come in as gradients for the last state and leave as those for the first;
    d_a, d_use, d_fac, d_rec (hidden,) are added to. Exponentials are computed anew: that is cheaper.
    """
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, n), h.dtype)
    zero, one = h.dtype.type(0), h.dtype.type(1)
    per_use = one / use
    for t in range(z.shape[0] - 1, -1, -1):
        for k in range(n_trials):
            before, s, d = h[t, k], z[t, k], d_h[k]
            for j in range(n):
                d_a[j] += d[j] * (s[j] - before[j])
                s[j] = a[j] * d[j] if s[j] > zero else zero
        matrix.multiply(z[t], weight, product)
        for k in range(n_trials):
            before, u0, x0, u1, x1 = h[t, k], u[t, k], x[t, k], u[t + 1, k], x[t + 1, k]
            dh, du, dx, de, out, release = d_h[k], d_u[k], d_x[k], product[k], d_out[t, k], e[t, k]
            for j in range(n):
                active = max(before[j], zero)
                r = rate_scale * active
                # release e = u1 x1 / U * active
                released = u1[j] * x1[j] * per_use[j] * active
                release[j] = released
                d_release = de[j] * per_use[j]
                d_active = d_release * u1[j] * x1[j]
                d_u1 = du[j] + d_release * x1[j] * active
                d_x1 = dx[j] + d_release * u1[j] * active
                d_use[j] -= d_release * released
                # x1 = target + (x0 - target) decay, target = rec / speed
                speed = rec[j] + u1[j] * r
                per_speed = one / speed
                target = rec[j] * per_speed
                decay = exp(-dt * speed)
                d_target = d_x1 * (one - decay) * per_speed
                d_speed = -d_x1 * (x0[j] - target) * dt * decay - d_target * target
                d_rec[j] += d_target + d_speed
                d_u1 += d_speed * r
                d_r = d_speed * u1[j]
                dx[j] = d_x1 * decay
                # u1 = target + (u0 - target) decay, target = U (fac + r) / speed
                speed = fac[j] + use[j] * r
                per_speed = one / speed
                target = use[j] * (fac[j] + r) * per_speed
                decay = exp(-dt * speed)
                d_target = d_u1 * (one - decay) * per_speed
                d_speed = -d_u1 * (u0[j] - target) * dt * decay - d_target * target
                d_fac[j] += d_target * use[j] + d_speed
                d_use[j] += d_target * (fac[j] + r) + d_speed * r
                d_r += (d_target + d_speed) * use[j]
                du[j] = d_u1 * decay
                d_active += rate_scale * d_r
                dh[j] = (one - a[j]) * dh[j] + (d_active if before[j] > zero else zero) + out[j]


class Kernel:
    """One member's plastic network; methods as in `cortseq.networks.training.kernels.rate`."""

    def __init__(self, q: dict[str, np.ndarray], rate_scale: float):
        self.weight, self.transposed = matrix.packed(q["recurrent"]), matrix.packed(q["recurrent"].T)
        self.a = np.array(np.broadcast_to(q["leak"].ravel(), len(q["recurrent"])))
        units = (np.ascontiguousarray(q[name].ravel()) for name in ("use", "fac_rate", "rec_rate"))
        self.constants = (self.a, *units, q["dt"].ravel()[0], self.a.dtype.type(rate_scale))

    def forward(self, states: list[np.ndarray], z: np.ndarray) -> None:
        """Fill the states (time + 1, trial, hidden) and turn z (time, trial, hidden) into activations."""
        forward(*states, z, self.transposed, *self.constants)

    def backward(
        self,
        states: list[np.ndarray],
        z: np.ndarray,
        d_out: np.ndarray,
        d_states: list[np.ndarray],
        buffer: Buffer,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Turn z (time, trial, hidden) into its gradient, d_states from last to first; see `rate.Kernel`."""
        sums = {name: np.zeros_like(self.a) for name in ("leak", "use", "fac_rate", "rec_rate")}
        released = buffer("released", z.shape)
        backward(*states, z, released, self.weight, *self.constants, d_out, *d_states, *sums.values())
        return sums, released, z
