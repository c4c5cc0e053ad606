"""All free parameters of a group of members as one tensor (member, n), for optimiser and checkpoint.

`p[name]` are views of it, so a cell's code sees a plain dict; their `.grad` are views of one gradient.
"""

from __future__ import annotations

import torch

from cortseq.data import Params


class Flat:
    """`params` of some members, on a device; with one member the views have no member axis."""

    def __init__(self, params: Params, fixed: frozenset[str], device: str):
        self.free = [name for name in params if name not in fixed]
        self.params = params
        n_members = len(params["readout_bias"])
        blocks = [params[name].reshape(n_members, -1) for name in self.free]
        self.values = torch.cat(blocks, 1).to(device).contiguous()
        self.gradient = torch.zeros_like(self.values)
        views, gradients = self._views(self.values), self._views(self.gradient)
        self.p: Params = {}
        for name, value in params.items():
            if name in fixed:
                value = value.to(device)
                self.p[name] = value[0] if n_members == 1 else value
            else:
                self.p[name] = views[name].requires_grad_()
                self.p[name].grad = gradients[name]

    def _views(self, flat: torch.Tensor) -> Params:
        found, at = {}, 0
        for name in self.free:
            shape = self.params[name].shape
            n = shape[1:].numel()
            view = flat[:, at : at + n]
            found[name] = view.view(shape[1:] if len(flat) == 1 else shape).detach()
            at += n
        return found

    def unpacked(self, flat: torch.Tensor) -> Params:
        """Return a tensor like `values` (member, n) as parameters with a member axis, on the CPU."""
        found = {name: value.clone() for name, value in self.params.items()}
        at = 0
        for name in self.free:
            shape = self.params[name].shape
            n = shape[1:].numel()
            found[name] = flat[:, at : at + n].reshape(shape).cpu().clone()
            at += n
        return found
