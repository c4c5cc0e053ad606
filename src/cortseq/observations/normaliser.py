"""ln Z of the Conway-Maxwell distribution with its gradient, compiled, for torch's autograd on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cortseq.compiled import conway_maxwell


class LogNormaliser(torch.autograd.Function):
    """ln Z of eta (..., unit); `nu` broadcasts against it, (unit,) or (member, 1, .., unit).

    d ln Z / d eta = E[y],  d ln Z / d nu = -E[ln y!].
    """

    @staticmethod
    def forward(ctx: Any, eta: torch.Tensor, nu: torch.Tensor, support: int) -> torch.Tensor:
        """Return ln Z, (..., unit), and keep E[y] and E[ln y!] for `backward`."""
        each = nu.detach().double().reshape(-1, nu.shape[-1]).numpy()
        rows = np.ascontiguousarray(eta.detach().numpy()).reshape(len(each), -1, each.shape[1])
        found = [np.empty_like(rows) for _ in range(3)]
        smallest = 1e-17 if rows.itemsize == 8 else 1e-9
        for member, one in enumerate(each):
            tables = conway_maxwell.tables(one, support)
            conway_maxwell.fill(rows[member], one, *tables, smallest, *(f[member] for f in found))
        log_z, mean, logs = (torch.from_numpy(f.reshape(eta.shape)) for f in found)
        ctx.save_for_backward(mean, logs)
        ctx.shape = nu.shape
        return log_z

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradient by eta (..., unit), that by nu in nu's shape, and None for the support."""
        mean, logs = ctx.saved_tensors
        return grad * mean, (-grad * logs).sum_to_size(ctx.shape), None
