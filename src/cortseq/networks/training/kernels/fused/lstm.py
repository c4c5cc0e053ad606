"""Long short-term memory: c' = f c + i g, h' = o tanh(c'), the gates from W h + z.

Rows of W and of z are ordered i, f, g, o; i, f and o are sigmoids, g is a tanh. The states are h and c; there
are no constants. As in `cortseq.networks.families.lstm`; Hochreiter & Schmidhuber 1997, Neural Comput 9:1735;
Gers, Schmidhuber & Cummins 2000, Neural Comput 12:2451.
"""

import triton
import triton.language as tl

from cortseq.networks.training.kernels.fused.tiles import (
    part,
    product,
    read,
    sigmoid,
    tanh,
    tile,
    weights,
    write,
)


@triton.jit
def advance(i, f, g, o, c):
    """Return (i, f, g, o, h', c') from the four drives and the cell c, tiles (trial, unit)."""
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c + i * g
    return i, f, g, o, o * tanh(c), c


@triton.jit
def back(d_h, d_c, i, f, g, o, c, c_later):
    """Return d loss / d (the drives of i, f, g and o) and / d c, tiles (trial, unit).

    d_h and d_c are d loss / d h' and the part of d loss / d c' that does not pass through h'; i, f, g and o
    are as `advance` gives them.
    """
    out = tanh(c_later)
    d = d_c + d_h * o * (1.0 - out * out)
    d_i, d_f = d * g * i * (1.0 - i), d * c * f * (1.0 - f)
    return d_i, d_f, d * i * (1.0 - g * g), d_h * out * o * (1.0 - o), d * f


@triton.jit
def matrices(weight, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Return W of the four gates, each (to, from)."""
    w_i, w_f = weights(weight, 0, 4, HIDDEN, WIDTH), weights(weight, 1, 4, HIDDEN, WIDTH)
    return w_i, w_f, weights(weight, 2, 4, HIDDEN, WIDTH), weights(weight, 3, 4, HIDDEN, WIDTH)


@triton.jit
def read_gates(array, at, known, HIDDEN: tl.constexpr):
    """Return the tiles (trial, unit) of four gates that lie side by side."""
    i, f = read(array, at, known), read(array, at + HIDDEN, known)
    return i, f, read(array, at + 2 * HIDDEN, known), read(array, at + 3 * HIDDEN, known)


@triton.jit
def write_gates(array, at, known, i, f, g, o, HIDDEN: tl.constexpr):
    """Write the tiles (trial, unit) of four gates side by side."""
    write(array, at, known, i)
    write(array, at + HIDDEN, known, f)
    write(array, at + 2 * HIDDEN, known, g)
    write(array, at + 3 * HIDDEN, known, o)


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
    """Fill the states after bin 0, (2, member, trial, bin, hidden), and where LEARNING the open gates."""
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    gates_at, _ = tile(n_trials, n_bins, 4 * HIDDEN, HIDDEN, WIDTH, TRIALS)
    to_c = part(n_trials, n_bins, HIDDEN)
    w_i, w_f, w_g, w_o = matrices(weight, HIDDEN, WIDTH)
    w_i, w_f, w_g, w_o = tl.trans(w_i), tl.trans(w_f), tl.trans(w_g), tl.trans(w_o)
    h, c = read(states, at, known), read(states + to_c, at, known)
    for t in range(n_bins - 1):
        later, gates_now = at + (t + 1) * HIDDEN, gates_at + t * 4 * HIDDEN
        i, f, g, o = read_gates(drive, gates_now, known, HIDDEN)
        i, f = i + product(h, w_i), f + product(h, w_f)
        g, o = g + product(h, w_g), o + product(h, w_o)
        i, f, g, o, h, c = advance(i, f, g, o, c)
        if LEARNING:
            write_gates(activation, gates_now, known, i, f, g, o, HIDDEN)
        write(states, later, known, h)
        write(states + to_c, later, known, c)


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
    """Fill `d_drive` but for the last bin, and `d_start`; `released` and `d_constants` are not written."""
    at, known = tile(n_trials, n_bins, HIDDEN, HIDDEN, WIDTH, TRIALS)
    gates_at, _ = tile(n_trials, n_bins, 4 * HIDDEN, HIDDEN, WIDTH, TRIALS)
    to_c = states + part(n_trials, n_bins, HIDDEN)
    w_i, w_f, w_g, w_o = matrices(weight, HIDDEN, WIDTH)
    last = at + (n_bins - 1) * HIDDEN
    d, c_later = read(d_out, last, known), read(to_c, last, known)
    d_c = tl.zeros((TRIALS, WIDTH), d.dtype)
    for later in range(1, n_bins):
        t = n_bins - 1 - later
        now, gates_now = at + t * HIDDEN, gates_at + t * 4 * HIDDEN
        c = read(to_c, now, known)
        i, f, g, o = read_gates(activation, gates_now, known, HIDDEN)
        d_i, d_f, d_g, d_o, d_c = back(d, d_c, i, f, g, o, c, c_later)
        c_later = c
        write_gates(d_drive, gates_now, known, d_i, d_f, d_g, d_o, HIDDEN)
        d = read(d_out, now, known) + product(d_i, w_i) + product(d_f, w_f)
        d += product(d_g, w_g) + product(d_o, w_o)
    first, _ = tile(n_trials, 1, HIDDEN, HIDDEN, WIDTH, TRIALS)
    write(d_start, first, known, d)
    write(d_start + part(n_trials, 1, HIDDEN), first, known, d_c)
