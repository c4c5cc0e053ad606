"""Leaky units: h' = (1 - a) h + a s, s = phi(W h + z), phi = tanh or relu (RULE, by name).

As in `cortseq.networks.families.rate`, `low_rank` and `dale`. The one constant is the leak a.
"""

import triton
import triton.language as tl

from cortseq.networks.training.kernels.fused.tiles import (
    constant,
    product,
    read,
    relu,
    tanh,
    tile,
    weights,
    write,
    write_sum,
)


@triton.jit
def advance(h, z, a, RULE: tl.constexpr):
    """Return (s, h'), tiles (trial, unit), where z is the whole drive W h + z."""
    if RULE == "tanh":
        s = tanh(z)
    else:
        s = relu(z)
    return s, (1.0 - a) * h + a * s


@triton.jit
def back(d, h, s, a, RULE: tl.constexpr):
    """Return d loss / d z, / d a, and / d h as far as it does not pass through z: tiles (trial, unit).

    d is d loss / d h'.
    """
    if RULE == "tanh":
        d_z = a * d * (1.0 - s * s)
    else:
        d_z = tl.where(s <= 0, 0.0, a * d)
    return d_z, d * (s - h), (1.0 - a) * d


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
    """Fill the states after bin 0, (1, member, trial, bin, hidden), and where LEARNING the activations s."""
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    w = tl.trans(weights(weight, 0, 1, HIDDEN, WIDTH))
    a = constant(constants, 0, 1, HIDDEN, WIDTH)
    h = read(states, at, known)
    for t in range(n_bins - 1):
        now = at + t * HIDDEN
        z = read(drive, now, known) + product(h, w)
        s, h = advance(h, z, a, RULE)
        if LEARNING:
            write(activation, now, known, s)
        write(states, now + HIDDEN, known, h)


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
    """Fill `d_drive` but for the last bin, `d_start` and `d_constants` (member, tile, 1, hidden).

    `released` is not written: what W multiplies are the states.
    """
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    w = weights(weight, 0, 1, HIDDEN, WIDTH)
    a = constant(constants, 0, 1, HIDDEN, WIDTH)
    d = read(d_out, at + (n_bins - 1) * HIDDEN, known)
    by_a = tl.zeros((TRIALS, WIDTH), d.dtype)
    for later in range(1, n_bins):
        now = at + (n_bins - 1 - later) * HIDDEN
        d_z, d_a, kept = back(d, read(states, now, known), read(activation, now, known), a, RULE)
        by_a += d_a
        write(d_drive, now, known, d_z)
        d = kept + product(d_z, w) + read(d_out, now, known)
    first, _ = tile(n_trials, 1, HIDDEN, HIDDEN, WIDTH, TRIALS)
    write(d_start, first, known, d)
    write_sum(d_constants, by_a, 0, 1, HIDDEN, WIDTH)
