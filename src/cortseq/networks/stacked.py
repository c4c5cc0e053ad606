"""A cell in layers: each layer reads, in the same bin, the new output of the layer below.

With F_l the update rule, s_l the state and h_l the output of layer l, and U x + b the drive:

    s_1' = F_1(s_1, U x + b),    s_l' = F_l(s_l, B_l h_{l-1}' + b_l)  for l = 2, 3, ..

The read-out sees the output of the top layer. In training, `hidden_dropout` acts on what the read-out sees
and on what a layer hands to the next, but not on what a layer hands to itself (Zaremba, Sutskever & Vinyals
2014 arXiv:1409.2329). This is the stack of Graves, Mohamed & Hinton (2013 arXiv:1303.5778), and that of
torch.nn.LSTM and torch.nn.GRU with `num_layers`.

Parameters of layer 1 have the names of a single layer. Those of layer l end in `_l`, and `below_l` is B_l.
The state begins with the parts of the top layer, then come those of the layer below it, down to layer 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.networks.cell import Count, State
from cortseq.networks.layers import layer, named
from cortseq.networks.network import affine
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.tangents import product

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Stacked(Recurrent):
    """Abstract: a family whose cell is one layer, or several of them on top of each other.

    A family writes one layer: `layer_parameters`, `layer_start`, `layer_step`, `layer_tangent`, and where it
    has them `layer_derive`, `layer_gates` and `kernel`. `q` of these methods holds one layer's parameters.
    """

    # Parts of the state of one layer, each (..., hidden); the first is its output.
    layer_parts: ClassVar[int] = 1

    layers: Count = Field(1, description="layers of `hidden` units; each reads the one below")

    # -- one layer, which a family writes ---------------------------------------------------------

    def layer_parameters(self, n_in: int, rng: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
        """Return one layer's parameters before learning.

        They are input_weight (n_drive, n_in), bias (n_drive,), start (layer_parts * hidden,), ..
        """
        raise NotImplementedError

    def layer_derive(self, p: Params) -> Params:
        """Return one layer's `p` with what is computed once per sequence from it."""
        return p

    def layer_start(self, start: torch.Tensor) -> State:
        """Return a layer's parts before the first bin, each (..., hidden), from its part of `start`."""
        raise NotImplementedError

    def layer_step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return a layer's parts one bin later, (..., trial, hidden); drive (..., trial, n_drive)."""
        raise NotImplementedError

    def layer_tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the derivative of `layer_step` applied to tangent vectors, parts (..., hidden, k).

        Arguments as of `tangent`, of one layer.
        """
        raise NotImplementedError

    def layer_gates(self, q: Params, state: State, drive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each gate of one layer lets through, (..., hidden)."""
        return {}

    # -- the stack --------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.layers

    @property
    def state_parts(self) -> int:
        """Parts of all layers."""
        return self.layers * self.layer_parts

    @property
    def places(self) -> tuple[int, ...]:
        """Sizes of what layers hand to the layer above."""
        return (self.hidden,) * (self.layers - 1)

    @property
    def has_weights(self) -> bool:
        """Whether there is one recurrent matrix: that of the only layer."""
        return self.layers == 1

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return one member's parameters; `start` (state_parts * hidden,) holds all layers, as the state.

        Layer l > 1 begins like a first layer that reads `hidden` inputs: its input weight is `below_l`.
        """
        found = dict(self.layer_parameters(n_in, rng))
        for number in range(2, self.layers + 1):
            own = dict(self.layer_parameters(self.hidden, rng))
            found["start"] = np.concatenate([own.pop("start"), found["start"]])
            own["below"] = own.pop("input_weight")
            found |= named(own, number)
        return found

    def derive(self, p: Params) -> Params:
        """Return `p` with what each layer derives."""
        found: Params = {}
        for number in range(1, self.layers + 1):
            found |= named(self.layer_derive(layer(p, number)), number)
        return found

    def start(self, q: Params) -> State:
        """Return the parts of all layers before the first bin, each (..., hidden), the top layer's first."""
        return tuple(part for own in q["start"].chunk(self.layers, -1) for part in self.layer_start(own))

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the parts of all layers one bin later, each (..., trial, hidden)."""
        return self.dropped_step(q, state, drive, ())

    def dropped_step(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> State:
        """Return `step` with what layer l hands on times kept[l - 1], (..., trial, hidden)."""
        found: State = ()
        for *_, new in self._climb(q, state, drive, kept):
            found = (*new, *found)
        return found

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the images of the tangent vectors of all layers, each (..., hidden, k)."""
        if self.layers == 1:
            return self.layer_tangent(q, state, drive, vectors, moved)
        images: State = ()
        for number, (own, part, driven, _) in enumerate(self._climb(q, state, drive), 1):
            if images:
                moved = product(own["below"], images[0])
            images = (*self.layer_tangent(own, part, driven, self.part(vectors, number), moved), *images)
        return images

    def gates(self, q: Params, state: State, drive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each gate lets through, (..., layers * hidden): the units of the top layer first."""
        if self.layers == 1:
            return self.layer_gates(q, state, drive)
        found = [self.layer_gates(own, part, driven) for own, part, driven, _ in self._climb(q, state, drive)]
        return {name: torch.cat([gates[name] for gates in reversed(found)], -1) for name in self.gate_names}

    def part(self, state: Sequence[Any], number: int) -> Any:
        """Return the parts of layer `number` of a state, or of tangent vectors."""
        first = (self.layers - number) * self.layer_parts
        return state[first : first + self.layer_parts]

    def _climb(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor] = ()
    ) -> Iterator[tuple[Params, State, torch.Tensor, State]]:
        """Yield the parameters, state, drive and next state of each layer, the bottom one first."""
        handed: torch.Tensor | None = None
        for number in range(1, self.layers + 1):
            own, part = layer(q, number), self.part(state, number)
            if handed is not None:
                drive = affine(own["below"], own["bias"], handed)
            new = self.layer_step(own, part, drive)
            yield own, part, drive, new
            handed = new[0] * kept[number - 1] if kept and number < self.layers else new[0]
