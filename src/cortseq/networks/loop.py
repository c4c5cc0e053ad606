"""The maps of a fitted network as flows, with tangents in closed form (docs/dynamics.md#three-maps).

The state s is the cell's, and with a skip the standardised signal of the bin before:

    s' = (F(cell, U seen + b), seen),    b: with what the recorded inputs add where they are held

`seen` is held (open), encode(E[y|s]) (closed) or a draw (sampled). On tangent vectors v

    DF v = (F_cell v + F_drive U d seen, d seen),    d seen = d encode(E[y]) / d eta (C v_output + D v_skip)

and d seen = 0 where the input is held, or drawn from what has no derivative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.errors import CortseqError
from cortseq.flow import Flow, Map
from cortseq.networks.cell import Cell, State
from cortseq.networks.member import Member
from cortseq.networks.network import Network
from cortseq.networks.tangents import product
from cortseq.observations.tracks import TRACKS
from cortseq.scaling import Scale
from cortseq.traced import traced

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    from cortseq.observations.base import Readout
else:
    torch = lazy("torch")


@dataclass(frozen=True, repr=False)  # torch names a function by its repr at every call: no tensors in it
class Loop:
    """One member's map on flat states (..., dim).

    Attributes
    ----------
    member : its network and parameters, float64.
    map : "open", "closed" or "sampled".
    held : (n_encoded,) the encoded input of the open map.
    generator : of the draws of the sampled map.
    """

    member: Member
    map: Map
    held: torch.Tensor
    generator: torch.Generator

    @property
    def has_tangent(self) -> bool:
        """Whether the family writes one and the output is the first part of the state, as `push` needs."""
        cell = self.member.cell
        return cell.has_tangent and type(cell).output is Cell.output

    @property
    def _observation(self) -> Readout:
        return self.member.network.observation

    def step(self, flat: torch.Tensor) -> torch.Tensor:
        """Return the next flat state, (..., dim)."""
        state, last = self.member.split(flat)
        seen = self._seen(state, self._eta(state, last))
        return self._next(state, seen, self.member.drive(seen))

    def push(self, flat: torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next state (..., dim) and DF(s) V, (..., dim, k), with the same draw."""
        state, last = self.member.split(flat)
        vectors, moved_last = self.member.split(frame, axis=-2)
        eta = self._eta(state, last)
        seen = self._seen(state, eta)
        drive = self.member.drive(seen)
        moved_seen = self._moved_seen(eta, vectors, moved_last)
        images = self.member.cell.tangent(
            self.member.q, state, drive, vectors, self._moved_drive(moved_seen, frame)
        )
        return self._next(state, seen, drive), torch.cat([*images, *self._carried(moved_seen, frame)], -2)

    def _eta(self, state: State, last: torch.Tensor | None) -> torch.Tensor | None:
        """Return what the observation is read from; None where the input is held."""
        if self.map == "open":
            return None
        member = self.member
        return member.network.readout(member.p, member.cell.output(member.q, state), last)

    def _seen(self, state: State, eta: torch.Tensor | None) -> torch.Tensor:
        """Return the encoded observation that is fed back or held, (..., n_encoded)."""
        if eta is None:
            return self.held.expand(*state[0].shape[:-1], -1)
        p, observation = self.member.p, self._observation
        if self.map == "sampled":
            return observation.encode(p, observation.draw(p, eta, self.generator))
        return observation.encode(p, observation.mean(p, eta))

    def _next(self, state: State, seen: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [*self.member.cell.step(self.member.q, state, drive), *[seen] * self.member.skip], -1
        )

    def _moved_seen(
        self, eta: torch.Tensor | None, vectors: State, moved_last: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Return d seen (..., n_encoded, k); None where it is 0."""
        if eta is None or (self.map == "sampled" and not self._observation.smooth_draws):
            return None
        moved = product(self.member.p["readout_weight"], vectors[0])
        if moved_last is not None:
            moved = moved + self.member.p["skip"].unsqueeze(-1) * moved_last
        return self._observation.tangent(self.member.p, eta, moved)

    def _moved_drive(self, moved_seen: torch.Tensor | None, frame: torch.Tensor) -> torch.Tensor:
        weight: torch.Tensor = self.member.q["input_weight"]
        if moved_seen is None:
            return frame.new_zeros(()).expand(*frame.shape[:-2], len(weight), frame.shape[-1])
        return product(weight, moved_seen)

    def _carried(self, moved_seen: torch.Tensor | None, frame: torch.Tensor) -> list[torch.Tensor]:
        """Return the rows of the image that belong to the skip."""
        if not self.member.skip:
            return []
        none = frame.new_zeros(*frame.shape[:-2], self._observation.n_features, frame.shape[-1])
        return [none if moved_seen is None else moved_seen]


def check(network: Network, map: str, input: Any) -> None:
    """Raise a CortseqError for an unknown map, or an input given to a map that makes its own."""
    if map not in ("open", "closed", "sampled"):
        raise CortseqError("unknown map", key="map", value=map, fix='choose "open", "closed" or "sampled"')
    if network.memory is not None:
        raise CortseqError("a network that restarts has no flow", key="memory", value=network.memory)
    if network.cell.windowed:
        raise CortseqError(
            f"a {network.cell.family} has no flow: its state stores the last bins, it is no dynamical system",
            key="family",
            value=network.cell.family,
            fix="examine a network with one recurrent state, such as rate or gru",
        )
    if map != "open" and network.discretised:
        raise CortseqError(
            f"a network that sees discrete states has no {map} flow: its input has no derivative",
            key="discretise",
            value=network.discretise,
            fix='use map="open", or Fit.simulate',
        )
    if map != "open" and input is not None:
        raise CortseqError(
            f"the {map} map makes its own input",
            key="input",
            fix='leave it out, or hold it with map="open"; recorded inputs are held with `inputs`',
        )


def flow(
    member: Member, shape: dict[str, Any], map: Map, input: Any = None, seed: int = 0, inputs: Any = None
) -> Flow:
    """Return the map of one member on its whole flat state; arguments as of `Recurrent.flow`."""
    network = member.network
    check(network, map, input)
    held = held_input(member, shape, input)
    generator = torch.Generator().manual_seed(seed)
    loop = Loop(replace(member, q=holding(member, shape, inputs)), map, held, generator)
    many, push = loop.step, loop.push if loop.has_tangent else None
    if map != "sampled":  # a draw is made anew at every call
        many, push = traced(many, network.cell), push and traced(push, network.cell)
    return Flow(loop.step, loop.member.dim, map, push, many)


def held_input(member: Member, shape: dict[str, Any], input: ArrayLike | None) -> torch.Tensor:
    """Return what the network sees of a bin that is held, (n_encoded,); zeros where there is none."""
    network = member.network
    if input is None:
        return torch.zeros(network.n_seen(member.p), dtype=torch.float64)
    y = held_observation(shape, input)
    nothing = torch.full_like(y, torch.nan) if network.discretised else None
    return network.look(member.p, y, nothing)[0]


def held_observation(shape: dict[str, Any], input: ArrayLike) -> torch.Tensor:
    """One bin as recorded, (feature,) float64; of symbols a label (int64) or probabilities (label,).

    Raises
    ------
    CortseqError : another shape, a value that is not finite, a label or probabilities that are none.
    """
    n = shape["n_features"]
    if not TRACKS[shape["track"]].has_labels:
        return vector("input", input, n)
    value = np.asarray(input)
    if value.ndim:
        p = vector("input", value, n)
        if (p < 0).any() or abs(p.sum() - 1) > 1e-6:
            raise CortseqError("probabilities of labels are >= 0 with sum 1", key="input", value=p.tolist())
        return p
    if value.dtype.kind not in "iuf" or value not in range(n):
        raise CortseqError(
            f"a label lies between 0 and {n - 1}",
            key="input",
            value=value.item(),
            fix="give a label, or the probabilities of all of them",
        )
    return torch.tensor(int(value))


def holding(member: Member, shape: dict[str, Any], inputs: ArrayLike | None) -> Params:
    """Return what the cell derives, the recorded inputs held: the drive is that of the observation alone.

    inputs (n_inputs,) : None: their mean in the bins that were learned from. No bin is missing.
    """
    q, n_seen = member.q, member.network.n_seen(member.p)
    n, scale = shape["n_inputs"], Scale.known(shape)
    if inputs is None:  # fits from before the mean was kept have none
        u = vector("inputs", shape.get("input_mean", [0.0] * n), n)
    else:
        u = torch.from_numpy(scale.seen(vector("inputs", inputs, len(scale.mean)).numpy()))
    seen, held = q["input_weight"][:, :n_seen], q["input_weight"][:, n_seen : n_seen + n]
    return {**q, "input_weight": seen, "bias": q["bias"] + held @ u}


def vector(key: str, value: ArrayLike, n: int) -> torch.Tensor:
    """`value` as float64 (n,), or a CortseqError that names `key`."""
    found = np.asarray(value)
    if found.shape != (n,) or (n and found.dtype.kind not in "iufb"):
        raise CortseqError(f"it is held at {n} numbers, shape ({n},)", key=key, value=found.shape)
    if not np.isfinite(found.astype(float)).all():
        raise CortseqError("it holds NaN or infinity", key=key, fix="leave missing bins out of its mean")
    return torch.from_numpy(found.astype(float))
