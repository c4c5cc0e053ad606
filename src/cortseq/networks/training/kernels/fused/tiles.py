"""What fused kernels read, write and compute with: tiles (trial, unit) of one member, padded.

Program (member, tile) of a grid has the trials from tile x TRIALS on. Arrays are described in
`cortseq.networks.training.kernels.fused`. HIDDEN units fill the first columns of a tile of WIDTH, a power of
two and at least 16, as TRIALS is: the smallest tiles that are multiplied.
"""

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Return tanh(x), of the shape of x; no exponential overflows."""
    shrunk = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - shrunk) / (1.0 + shrunk)
    return tl.where(x < 0, -size, size)


@triton.jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x)), of the shape of x."""
    return 0.5 + 0.5 * tanh(0.5 * x)


@triton.jit
def relu(x):
    """Return max(x, 0), of the shape of x; NaN where x is NaN."""
    return tl.where(x <= 0, 0.0, x)


@triton.jit
def tile(
    n_trials,
    n_bins,
    n_numbers: tl.constexpr,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    TRIALS: tl.constexpr,
):
    """Return where a tile is in an array (member, trial, bin, n_numbers), at bin 0, and which of it there is.

    Offsets and a mask, both (trial, unit). The offsets of a whole array need 64 bits.
    """
    trial = tl.program_id(1) * TRIALS + tl.arange(0, TRIALS)
    unit = tl.arange(0, WIDTH)
    known = (trial < n_trials)[:, None] & (unit < HIDDEN)[None, :]
    row = (tl.program_id(0).to(tl.int64) * n_trials + trial) * n_bins
    return (row * n_numbers)[:, None] + unit[None, :], known


@triton.jit
def part(n_trials, n_bins, HIDDEN: tl.constexpr):
    """Return how many numbers one part of the states of all members has."""
    return tl.num_programs(0).to(tl.int64) * n_trials * n_bins * HIDDEN


@triton.jit
def read(array, at, known):
    """Return a tile (trial, unit) of an array, 0 where it is not known."""
    return tl.load(array + at, mask=known, other=0.0)


@triton.jit
def write(array, at, known, value):
    """Write a tile (trial, unit) into an array where it is known."""
    tl.store(array + at, value, mask=known)


@triton.jit
def weights(weight, gate: tl.constexpr, GATES: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Return the member's W of one gate (to, from), padded with 0."""
    unit = tl.arange(0, WIDTH)
    known = (unit < HIDDEN)[:, None] & (unit < HIDDEN)[None, :]
    first = (tl.program_id(0) * GATES + gate) * HIDDEN
    return tl.load(weight + (first + unit)[:, None] * HIDDEN + unit[None, :], mask=known, other=0.0)


@triton.jit
def constant(constants, row: tl.constexpr, ROWS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Return one of the ROWS constants of the member's units, (1, unit), padded with 1: some are divisors."""
    unit = tl.arange(0, WIDTH)
    at = (tl.program_id(0) * ROWS + row) * HIDDEN + unit
    return tl.load(constants + at, mask=unit < HIDDEN, other=1.0)[None, :]


@triton.jit
def write_sum(sums, value, row: tl.constexpr, ROWS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """Write the sum over trials of a tile (trial, unit) into `d_constants`."""
    unit = tl.arange(0, WIDTH)
    program = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    tl.store(sums + (program * ROWS + row) * HIDDEN + unit, tl.sum(value, axis=0), mask=unit < HIDDEN)


@triton.jit
def product(a, b):
    """Return the matrix product a b, (trial, unit), of a (trial, unit) and b (unit, unit).

    Numbers of 32 bits are multiplied as three products of 19 bits, which lose no more than rounding does
    (Ootomo & Yokota 2022, Int J High Perform Comput Appl 36:475).
    """
    if a.dtype == tl.float64:
        result = tl.dot(a, b, out_dtype=tl.float64)
    else:
        result = tl.dot(a, b, input_precision="tf32x3")
    return result
