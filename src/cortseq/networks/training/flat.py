"""All free parameters of a group of members as one tensor (member, n), for optimiser and checkpoint.

The parameters of a recording, `p[name]`, are views of it, so a cell's code sees a plain dict; their `.grad`
are views of one gradient. Recordings that share a cell have the same views of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cortseq.data import Params


class Flat:
    """Parameters of some members, on a device; with one member the views have no member axis.

    Attributes
    ----------
    values, gradient : (member, n).
    p : of each recording, name -> view of `values`, or what is not learned.
    """

    def __init__(
        self,
        recordings: Sequence[Params],
        fixed: frozenset[str],
        device: str,
        shared: frozenset[str] = frozenset(),
    ):
        self.recordings = recordings
        self.places, blocks = _laid_out(recordings, fixed, shared)
        self.values = torch.cat(blocks, 1).to(device).contiguous()
        self.gradient = torch.zeros_like(self.values)
        self.p: list[Params] = []
        leaves: dict[tuple[int, int], torch.Tensor] = {}  # by their columns
        for params, places in zip(recordings, self.places, strict=True):
            one: Params = {}
            for name, value in params.items():
                place = places.get(name)
                if place is None:
                    one[name] = self._one_or_all(value.to(device))
                    continue
                columns = (place.start, place.stop)
                if columns not in leaves:
                    leaves[columns] = self._leaf(place, value.shape)
                one[name] = leaves[columns]
            self.p.append(one)

    def _one_or_all(self, value: torch.Tensor) -> torch.Tensor:
        return value[0] if len(self.values) == 1 else value

    def _leaf(self, place: slice, shape: torch.Size) -> torch.Tensor:
        value, gradient = (
            self._one_or_all(flat[:, place].view(shape)).detach() for flat in (self.values, self.gradient)
        )
        leaf = value.requires_grad_()
        leaf.grad = gradient
        return leaf

    def learned(self, recording: int) -> int:
        """Return how many numbers of a recording's parameters are learned, of one member."""
        return sum(place.stop - place.start for place in self.places[recording].values())

    def unpacked(self, flat: torch.Tensor, recording: int) -> Params:
        """Return a tensor like `values` as parameters of a recording, (member, ...), on the CPU."""
        found = {name: value.clone() for name, value in self.recordings[recording].items()}
        for name, place in self.places[recording].items():
            found[name] = flat[:, place].reshape(found[name].shape).cpu().clone()
        return found


def _laid_out(
    recordings: Sequence[Params], fixed: frozenset[str], shared: frozenset[str]
) -> tuple[list[dict[str, slice]], list[torch.Tensor]]:
    """Return where each recording's learned parameters lie in the flat tensor, and its blocks (member, n)."""
    n_members, at = len(recordings[0]["readout_bias"]), 0
    every: list[dict[str, slice]] = []
    blocks = []
    for params in recordings:
        places: dict[str, slice] = {}
        for name in [name for name in params if name not in fixed]:
            if every and name in shared:
                places[name] = every[0][name]
                continue
            blocks.append(params[name].reshape(n_members, -1))
            places[name] = slice(at, at := at + blocks[-1].shape[1])
        every.append(places)
    return every, blocks
