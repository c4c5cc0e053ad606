"""ln Z of the Conway-Maxwell distribution with its gradient, for torch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cortseq.compiled import conway_maxwell

Sums = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # ln Z, E[y] and E[ln y!], each (..., unit)


class LogNormaliser(torch.autograd.Function):
    """ln Z of eta (..., unit); `nu` broadcasts against it, (unit,) or (member, 1, .., unit).

    d ln Z / d eta = E[y],  d ln Z / d nu = -E[ln y!].
    """

    @staticmethod
    def forward(
        ctx: Any, eta: torch.Tensor, nu: torch.Tensor, sums: Callable[[torch.Tensor, torch.Tensor], Sums]
    ) -> torch.Tensor:
        """Return ln Z, (..., unit), and keep E[y] and E[ln y!] for `backward`: two numbers, no graph."""
        log_z, mean, logs = sums(eta.detach(), nu.detach())
        ctx.save_for_backward(mean, logs)
        ctx.shape = nu.shape
        return log_z

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradient by eta (..., unit), that by nu in nu's shape, and None for `sums`."""
        mean, logs = ctx.saved_tensors
        return grad * mean, (-grad * logs).sum_to_size(ctx.shape), None


def compiled_sums(eta: torch.Tensor, nu: torch.Tensor, support: int) -> Sums:
    """Return ln Z, E[y] and E[ln y!], (..., unit), of eta and nu as of `LogNormaliser`, on a CPU."""
    each = nu.double().reshape(-1, nu.shape[-1]).numpy()
    rows = np.ascontiguousarray(eta.numpy()).reshape(len(each), -1, each.shape[1])
    found = [np.empty_like(rows) for _ in range(3)]
    smallest = 1e-17 if rows.itemsize == 8 else 1e-9
    for member, one in enumerate(each):
        tables = conway_maxwell.tables(one, support)
        conway_maxwell.fill(rows[member], one, *tables, smallest, *(f[member] for f in found))
    log_z, mean, logs = (torch.from_numpy(f.reshape(eta.shape)) for f in found)
    return log_z, mean, logs
