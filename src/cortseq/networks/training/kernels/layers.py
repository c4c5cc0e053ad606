"""Layers of a compiled cell, one after the other over a block of bins; see `cortseq.networks.stacked`.

A layer reads only the layer below it and its own past. So layer 1 goes through all bins of a block, then one
product gives the drive of layer 2 in all of them, and so on; gradients come back in the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq.compiled import matrix
from cortseq.networks.cell import Cell
from cortseq.networks.layers import end, layer
from cortseq.networks.training.kernels.rate import Buffer

# (layer, units (time, trial, hidden), name of a buffer or None) -> the units with dropout between this layer
# and the next, in the buffer or in place; the units themselves where there is no dropout.
Drop = Callable[[int, np.ndarray, str | None], np.ndarray]


class Layers:
    """The kernels of one member's layers, and the weights between them; `q` as `derive` gives it, numpy."""

    def __init__(self, cell: Cell, q: dict[str, np.ndarray]):
        own = [layer(q, number) for number in range(1, cell.depth + 1)]
        self.kernels: list[Any] = [cell.kernel(one) for one in own]
        self.width = len(q["bias"])  # of a drive
        self.biases = [one["bias"] for one in own[1:]]
        self.up = [matrix.packed(one["below"].T) for one in own[1:]]
        self.down = [matrix.packed(one["below"]) for one in own[1:]]
        self.ends = [end(number) for number in range(1, cell.depth + 1)]

    @property
    def names(self) -> list[str]:
        """Names of the parameters whose gradients `backward` adds to what is there."""
        below = [f"below{end}" for end in self.ends[1:]]
        return [f"{name}{end}" for end in self.ends for name in ("recurrent", "bias")] + below

    def forward(self, states: Sequence[np.ndarray], z: Sequence[np.ndarray], drop: Drop) -> None:
        """Fill the states of all layers, and turn the drives into activations.

        Parameters
        ----------
        states : parts (time + 1, trial, hidden) of a block, the top layer's first.
        z : (time, trial, gate) of each layer, the bottom one first; that of layer 1 holds its drive.
        drop : dropout of what a layer hands on.
        """
        for at, kernel in enumerate(self.kernels):
            if at:
                handed = drop(at - 1, self._part(states, at - 1)[0][1:], "handed")
                matrix.multiply(_rows(handed), self.up[at - 1], _rows(z[at]))
                z[at][:] += self.biases[at - 1]
            kernel.forward(self._part(states, at), z[at])

    def backward(
        self,
        states: Sequence[np.ndarray],
        z: Sequence[np.ndarray],
        d_out: np.ndarray,
        d_states: Sequence[np.ndarray],
        grads: dict[str, np.ndarray],
        drop: Drop,
        buffer: Buffer,
    ) -> None:
        """Turn z into gradients and d_states from the last to the first, and add to `grads`.

        d_out (time, trial, hidden) is the gradient for the top layer's output before each bin.
        """
        for at in reversed(range(len(self.kernels))):
            kernel, end = self.kernels[at], self.ends[at]
            found, multiplied, d_product = kernel.backward(
                self._part(states, at), z[at], d_out, self._part(d_states, at), buffer
            )
            for name, grad in found.items():
                grads[name + end] = grads[name + end] + grad if name + end in grads else grad
            matrix.add_transposed(grads["recurrent" + end], _rows(d_product), _rows(multiplied))
            matrix.add_rows(grads["bias" + end], _rows(z[at]))
            if at:
                out = self._part(states, at - 1)[0]
                handed = drop(at - 1, out[1:], "handed")
                matrix.add_transposed(grads["below" + end], _rows(z[at]), _rows(handed))
                # a drive sees the output after its bin, d_out is for the outputs before each bin
                d_all = buffer("d_below", out.shape)
                d_all[0] = 0
                matrix.multiply(_rows(z[at]), self.down[at - 1], _rows(d_all[1:]))
                drop(at - 1, d_all[1:], None)
                self._part(d_states, at - 1)[0][:] += d_all[-1]
                d_out = d_all[:-1]

    def _part(self, states: Sequence[np.ndarray], at: int) -> list[np.ndarray]:
        """Return the parts of one layer, counted from the bottom and from 0."""
        n = len(states) // len(self.kernels)
        first = (len(self.kernels) - 1 - at) * n
        return list(states[first : first + n])


def _rows(array: np.ndarray) -> np.ndarray:
    """(time, trial, size) as (row, size)."""
    return array.reshape(-1, array.shape[-1])
