"""Leaky ReLU units with plastic synapses, relaxed in closed form over one bin.

With the presynaptic rate r = rate_scale relu(h) in Hz (RULE is rate_scale), first u, then x at the new u:

    u' = to + (u - to) exp(-dt v),   v = 1/tau_fac + U r,    to = U (1/tau_fac + r) / v
    x' = to + (x - to) exp(-dt v),   v = 1/tau_rec + u' r,   to = 1/(tau_rec v)
    e = u' x' / U relu(h),           h' = (1 - a) h + a relu(W e + z)

The states are h, u and x; the constants are a, U (`use`), 1/tau_fac and 1/tau_rec in Hz, and dt in s. As in
`cortseq.networks.families.stp`; Tsodyks, Pawelzik & Markram 1998, Neural Comput 10:821.
"""

import triton
import triton.language as tl

from cortseq.networks.training.kernels.fused import rate
from cortseq.networks.training.kernels.fused.tiles import (
    constant,
    part,
    product,
    read,
    relu,
    tile,
    weights,
    write,
    write_sum,
)


@triton.jit
def relaxed(value, to, speed, dt):
    """Return the value one bin later, and the share exp(-dt v) of its way that is left: (trial, unit)."""
    left = tl.exp(-dt * speed)
    return to + (value - to) * left, left


@triton.jit
def relaxed_back(d, value, to, left, speed, dt):
    """Return d loss / d (numerator of `to`), / d v and / d value, each (trial, unit).

    d is d loss / d (the value one bin later). v divides in `to` and is in the share left.
    """
    above = d * (1.0 - left) / speed
    return above, -d * (value - to) * dt * left - above * to, d * left


@triton.jit
def advance(h, u, x, use, fac, rec, dt, RULE: tl.constexpr):
    """Return (e, u', x'), tiles (trial, unit)."""
    active = relu(h)
    r = RULE * active
    speed = fac + use * r
    u, _ = relaxed(u, use * (fac + r) / speed, speed, dt)
    speed = rec + u * r
    x, _ = relaxed(x, rec / speed, speed, dt)
    return u * x / use * active, u, x


@triton.jit
def back(d_e, d_u, d_x, h, u, x, use, fac, rec, dt, RULE: tl.constexpr):
    """Return e, d loss / d h, / d u, / d x, / d use, / d fac and / d rec, tiles (trial, unit).

    d_e, d_u, d_x are d loss / d e, / d u' and / d x'; h, u and x are those before the bin.
    """
    active = relu(h)
    r = RULE * active
    speed_u = fac + use * r
    to_u = use * (fac + r) / speed_u
    u_later, left_u = relaxed(u, to_u, speed_u, dt)
    speed_x = rec + u_later * r
    to_x = rec / speed_x
    x_later, left_x = relaxed(x, to_x, speed_x, dt)
    e = u_later * x_later / use * active
    share = d_e / use
    above, by_speed, d_x = relaxed_back(d_x + share * u_later * active, x, to_x, left_x, speed_x, dt)
    d_rec = above + by_speed
    d_r = by_speed * u_later
    d_u = d_u + share * x_later * active + by_speed * r
    above, by_speed, d_u = relaxed_back(d_u, u, to_u, left_u, speed_u, dt)
    d_fac = above * use + by_speed
    d_use = above * (fac + r) + by_speed * r - share * e
    d_r += (above + by_speed) * use
    d_h = tl.where(h <= 0, 0.0, share * u_later * x_later + RULE * d_r)
    return e, d_h, d_u, d_x, d_use, d_fac, d_rec


@triton.jit
def units(constants, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Return the five constants of the units, each (1, unit)."""
    a = constant(constants, 0, 5, HIDDEN, WIDTH)
    use = constant(constants, 1, 5, HIDDEN, WIDTH)
    fac = constant(constants, 2, 5, HIDDEN, WIDTH)
    rec = constant(constants, 3, 5, HIDDEN, WIDTH)
    return a, use, fac, rec, constant(constants, 4, 5, HIDDEN, WIDTH)


@triton.jit
def forward(
    weight,
    constants,
    drive,
    activation,
    states,
    n_trials,
    n_bins,
    RULE: tl.constexpr,
    LEARNING: tl.constexpr,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    TRIALS: tl.constexpr,
):
    """Fill the states after bin 0, (3, member, trial, bin, hidden); where LEARNING also relu(W e + z)."""
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    to_u = part(n_trials, n_bins, HIDDEN)
    w = tl.trans(weights(weight, 0, 1, HIDDEN, WIDTH))
    a, use, fac, rec, dt = units(constants, HIDDEN, WIDTH)
    h, u = read(states, at, known), read(states + to_u, at, known)
    x = read(states + 2 * to_u, at, known)
    for t in range(n_bins - 1):
        now = at + t * HIDDEN
        e, u, x = advance(h, u, x, use, fac, rec, dt, RULE)
        s, h = rate.advance(h, read(drive, now, known) + product(e, w), a, "relu")
        if LEARNING:
            write(activation, now, known, s)
        write(states, now + HIDDEN, known, h)
        write(states + to_u, now + HIDDEN, known, u)
        write(states + 2 * to_u, now + HIDDEN, known, x)


@triton.jit
def backward(
    weight,
    constants,
    activation,
    states,
    d_out,
    d_drive,
    released,
    d_start,
    d_constants,
    n_trials,
    n_bins,
    RULE: tl.constexpr,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    TRIALS: tl.constexpr,
):
    """Fill `d_drive` and `released` (e) but for the last bin, `d_start` and `d_constants`, not that of dt."""
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    to_u = part(n_trials, n_bins, HIDDEN)
    w = weights(weight, 0, 1, HIDDEN, WIDTH)
    a, use, fac, rec, dt = units(constants, HIDDEN, WIDTH)
    d = read(d_out, at + (n_bins - 1) * HIDDEN, known)
    zero = tl.zeros((TRIALS, WIDTH), d.dtype)
    d_u, d_x, by_a, by_use, by_fac, by_rec = zero, zero, zero, zero, zero, zero
    for later in range(1, n_bins):
        now = at + (n_bins - 1 - later) * HIDDEN
        h, s = read(states, now, known), read(activation, now, known)
        u, x = read(states + to_u, now, known), read(states + 2 * to_u, now, known)
        d_z, d_a, kept = rate.back(d, h, s, a, "relu")
        write(d_drive, now, known, d_z)
        d_e = product(d_z, w)
        e, d_h, d_u, d_x, d_use, d_fac, d_rec = back(d_e, d_u, d_x, h, u, x, use, fac, rec, dt, RULE)
        write(released, now, known, e)
        by_a, by_use, by_fac, by_rec = by_a + d_a, by_use + d_use, by_fac + d_fac, by_rec + d_rec
        d = kept + d_h + read(d_out, now, known)
    first, _ = tile(n_trials, 1, HIDDEN, HIDDEN, WIDTH, TRIALS)
    to_u = part(n_trials, 1, HIDDEN)
    write(d_start, first, known, d)
    write(d_start + to_u, first, known, d_u)
    write(d_start + 2 * to_u, first, known, d_x)
    write_sum(d_constants, by_a, 0, 5, HIDDEN, WIDTH)
    write_sum(d_constants, by_use, 1, 5, HIDDEN, WIDTH)
    write_sum(d_constants, by_fac, 2, 5, HIDDEN, WIDTH)
    write_sum(d_constants, by_rec, 3, 5, HIDDEN, WIDTH)
