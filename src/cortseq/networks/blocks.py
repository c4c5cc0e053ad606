"""Stacks of diagonal recurrences: what the families `lru` and `selective` have in common.

With the drive U x + b as z_1, block l of L makes

    v_l = norm(z_l)
    s_l' = a_l s_l + w_l,    a_l and w_l from v_l
    z_{l+1} = z_l + emit(v_l, s_l')

and the read-out sees norm(z_{L+1}). Within a layer the numbers of the state do not interact, and the
recurrence over bins is linear; operations that are not linear act within one bin. A layer can therefore
compute all bins at once (`cortseq.networks.scan`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.models.work import Size, Work
from cortseq.networks.cell import Count, State
from cortseq.networks.layers import numbered, with_number
from cortseq.networks.network import dropped
from cortseq.networks.recurrent import Recurrent
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch

    from cortseq.networks import scan
else:
    torch, scan = lazy("torch"), lazy("cortseq.networks.scan")

# Added to the decay per bin of every number that is carried, so that |a| < 1 in single precision, too.
LEAST_DECAY = 1e-6
EPSILON = 1e-5  # added to the variance of a stream that is normalised
# (a, w) of s' = a s + w -> the states after the bins that w belongs to
Carried = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class Blocks(Recurrent):
    """Abstract: residual blocks around diagonal recurrences; a family writes the block.

    State: what the read-out sees (hidden,), then of every layer its numbers (width,); of complex numbers the
    real and the imaginary part in turn. The state before the first bin is learned (`start`). Parameters of
    block l have names that end in `_l`, l = 1 .. layers.
    """

    forceable: ClassVar = False

    layers: Count = Field(2, description="recurrent layers, one on top of the other")

    # -- the block, which a family writes ---------------------------------------------------------

    @property
    def width(self) -> int:
        """How many real numbers the state of one layer has, a multiple of `hidden`."""
        raise NotImplementedError

    def block_parameters(self, rng: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
        """Return a block's parameters before learning, such as B (width, hidden), but its normalisation."""
        raise NotImplementedError

    def derive_block(self, b: Params) -> Params:
        """Return what is computed once per sequence from the parameters of one block."""
        return {}

    def block(
        self, b: Params, seen: torch.Tensor, carried: Carried, kept: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what a block adds to the stream, (..., hidden).

        Parameters
        ----------
        b : parameters of the block, and what `derive_block` made of them.
        seen : the normalised stream v, (..., hidden), of one bin or of all.
        carried : gives the states s' = a s + w (..., number) of a and w, which are both real or both complex.
            w (..., number); a the same or, where it is constant, (number,), with members (member, number).
        kept : dropout's factors (..., hidden) of what the last product of the block takes in; None: none.
        """
        raise NotImplementedError

    def block_tangent(
        self, b: Params, seen: torch.Tensor, moved: torch.Tensor, state: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what one member's block adds, how tangent vectors move that, and their images in its state.

        Parameters
        ----------
        seen, moved : the normalised stream (..., hidden), and its images (..., hidden, k).
        state, vectors : the block's state before the bin (..., width), and the vectors there (..., width, k).

        Returns
        -------
        added (..., hidden), its images (..., hidden, k), images of the next state (..., width, k).
        """
        raise NotImplementedError

    # -- the cell ---------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.layers

    @property
    def products(self) -> int:
        """Multiplications of one step of one trial: about four matrices in every layer."""
        return 4 * self.layers * self.hidden**2

    @property
    def has_weights(self) -> bool:
        """Units are not carried from bin to bin by a matrix."""
        return False

    @property
    def state_parts(self) -> int:
        """Size of the state in units of `hidden`."""
        return 1 + self.layers * self.width // self.hidden

    def work(self, size: Size) -> Work:
        """Return the arithmetic of all epochs; "pass": layers that pass over all bins of a batch at once."""
        epochs = size.members * self.epochs
        passed = epochs * size.passed
        return {
            "fit": float(size.members),
            "pass": float(epochs * math.ceil(size.train / self.batch) * self.layers),
            "unit": float(passed * (self.hidden + self.layers * self.width)),
            "product": float(passed * (self.products + 2 * self.hidden * size.features)),
        }

    @property
    def places(self) -> tuple[int, ...]:
        """What the last product of a block takes in, and what it gives, of every block in turn."""
        return (self.hidden,) * (2 * self.layers)

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return one member's parameters: read-in U (hidden, n_in), blocks, normalisations, start state."""
        n = self.hidden
        found = {
            "input_weight": rng.normal(0, 1 / np.sqrt(n_in), (n, n_in)),
            "bias": rng.normal(0, 1, n),  # or else the first normalisation hides how many events a bin has
            "start": np.zeros(n + self.layers * self.width),
            "norm_scale": np.ones(n),
            "norm_shift": np.zeros(n),
        }
        for number in range(1, self.layers + 1):
            block = {"norm_scale": np.ones(n), "norm_shift": np.zeros(n), **self.block_parameters(rng)}
            found |= with_number(block, number)
        return found

    def derive(self, p: Params) -> Params:
        """Return `p` with what `derive_block` makes of every block."""
        q = dict(p)
        for number in range(1, self.layers + 1):
            q |= with_number(self.derive_block(numbered(p, number)), number)
        return q

    def start(self, q: Params) -> State:
        """Return what the read-out sees before the first bin (..., hidden), and every layer (..., width)."""
        parts: State = q["start"].split([self.hidden] + [self.width] * self.layers, -1)
        return parts

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the next state: the output (..., trial, hidden), and every layer (..., trial, width)."""
        return self.dropped_step(q, state, drive, ())

    def dropped_step(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> State:
        """Return `step` with dropout's factors (..., trial, hidden) of `places`."""

        def carry(a: torch.Tensor, w: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            after = (a if a.ndim == w.ndim else row(a, w)) * s + w
            return after, after

        return self._run(q, state, drive, kept, carry)

    def through_time(
        self, q: Params, state: State, drives: torch.Tensor, kept: Sequence[torch.Tensor] = ()
    ) -> State:
        """Return the states before every bin and after the last, (..., trial, time + 1, size)."""

        def carry(a: torch.Tensor, w: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            states = scan.scan(a, w, s)
            return states, states[..., 1:, :]

        out, *layers = self._run(q, state, drives, kept, carry)
        return torch.cat([state[0].unsqueeze(-2), out], -2), *layers

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the images of the tangent vectors, (hidden, k) and of every layer (width, k)."""
        stream, images = drive, []
        for number in range(1, self.layers + 1):
            b = numbered(q, number)
            seen, seen_moved = normed(b, stream), normed_tangent(b, stream, moved)
            added, added_moved, image = self.block_tangent(
                b, seen, seen_moved, state[number], vectors[number]
            )
            stream, moved = stream + added, moved + added_moved
            images.append(image)
        return normed_tangent(q, stream, moved), *images

    def _run(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor], carry: Any
    ) -> State:
        """Return the output after the bins of `drive`, and of every layer the states that are kept.

        `carry` makes them of a, w and the state before: `(states to keep, states after the bins of w)`.
        """
        stream, layers = drive, []
        for number in range(1, self.layers + 1):
            b, before = numbered(q, number), state[number]

            def carried(a: torch.Tensor, w: torch.Tensor, before: torch.Tensor = before) -> torch.Tensor:
                whole, after = carry(a, w, paired(before) if w.is_complex() else before)
                layers.append(unpaired(whole) if w.is_complex() else whole)
                return after

            inside, outside = kept[2 * number - 2 : 2 * number] if kept else (None, None)
            added = self.block(b, normed(b, stream), carried, inside)
            stream = stream + dropped(added, outside)
        return normed(q, stream), *layers


def normed(q: Params, stream: torch.Tensor) -> torch.Tensor:
    """Return scale (z - mean z) / sd z + shift over the units of a bin, (..., hidden).

    Ba, Kiros & Hinton 2016, arXiv:1607.06450. `q` has `norm_scale` and `norm_shift`, (hidden,), with members
    (member, hidden).
    """
    scale, shift = q["norm_scale"], q["norm_shift"]
    if scale.ndim == 1:
        return torch.nn.functional.layer_norm(stream, scale.shape, scale, shift, EPSILON)
    unit = torch.nn.functional.layer_norm(stream, scale.shape[-1:], eps=EPSILON)
    return unit * row(scale, stream) + row(shift, stream)


def normed_tangent(q: Params, stream: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """Return the images (..., hidden, k) of tangent vectors `moved` of one member's stream under `normed`."""
    centred = stream - stream.mean(-1, keepdim=True)
    sd = (centred.square().mean(-1, keepdim=True) + EPSILON).sqrt()
    unit = (centred / sd).unsqueeze(-1)
    along = unit * (unit * moved).mean(-2, keepdim=True)
    factor = q["norm_scale"] / sd
    return factor.unsqueeze(-1) * (moved - moved.mean(-2, keepdim=True) - along)


def paired(numbers: torch.Tensor) -> torch.Tensor:
    """Return complex numbers (..., number) of their real and imaginary parts in turn, (..., 2 number)."""
    return torch.complex(numbers[..., ::2], numbers[..., 1::2])


def unpaired(numbers: torch.Tensor) -> torch.Tensor:
    """Return the real and imaginary parts in turn, (..., 2 number), of complex numbers (..., number)."""
    return torch.view_as_real(numbers).flatten(-2)
