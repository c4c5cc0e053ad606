"""Catastrophic interference: what a step for one task does to the loss of another, to second order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortseq._lazy import lazy
from cortseq.notebook import Shown

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Params = Any  # a tensor, or any nest of tuples, lists and dicts of them; a step has the same shape


@dataclass(frozen=True, repr=False)
class LossChange(Shown):
    """Predicted change of a loss after a step; `predicted` is the sum of both terms.

    Attributes
    ----------
    first : grad L . d.
    second : 1/2 d' H d.
    """

    first: float
    second: float

    @property
    def predicted(self) -> float:
        """Predicted change of the loss, the sum of both terms."""
        return self.first + self.second


def loss_change(loss: Callable[[Params], torch.Tensor], params: Params, step: Params) -> LossChange:
    """Return Delta L = grad L . d + 1/2 d' H d, with the exact Hessian (forward over reverse), never formed.

    Parameters
    ----------
    loss : params -> scalar (), the old task.
    params : where it is, arrays by name.
    step : d, arrays of the shapes of `params`, such as -eta times the new task's gradient.
        Float64 for small steps. At a minimum of the old task `first` vanishes and 1/2 eta^2 g2' H1 g2 is
        left.
    """
    gradient, hessian_step = torch.func.jvp(torch.func.grad(loss), (params,), (step,))[:2]
    return LossChange(_dot(gradient, step), _dot(hessian_step, step) / 2)


def gauss_newton(
    outputs: Callable[[Params], torch.Tensor],
    loss: Callable[[torch.Tensor], torch.Tensor],
    params: Params,
    step: Params,
) -> float:
    """Return the Gauss-Newton term 1/2 (J d)' Lambda (J d).

    J is the Jacobian of the outputs, Lambda the Hessian of the loss in the outputs.

    Lambda = 1 for half the sum of squares: 1/2 |J d|^2; 2/n for a mean of n squares; diag(p) - p p' for
    cross-entropy. Never negative for a loss that is convex in the outputs. Equal to the second term of
    `loss_change` for outputs linear in the parameters or residuals of zero, else without the outputs' own
    curvature.

    Parameters
    ----------
    outputs : params -> tensor.
    loss : outputs -> scalar.
    step : d, shaped as params.
    """
    y, change = torch.func.jvp(outputs, (params,), (step,))[:2]
    curved = torch.func.jvp(torch.func.grad(loss), (y.detach(),), (change.detach(),))[1]
    return float((curved * change).sum() / 2)


def measured_loss_change(loss: Callable[[Params], torch.Tensor], params: Params, step: Params) -> float:
    """Return L(params + d) - L(params).

    Parameters and step are trees of arrays of equal shapes; the loss is a scalar ().
    """
    moved = torch.utils._pytree.tree_map(lambda p, d: p + d, params, step)
    with torch.no_grad():
        return float(loss(moved) - loss(params))


def _dot(a: Params, b: Params) -> float:
    flat = torch.utils._pytree.tree_flatten
    return float(sum((x * y).sum() for x, y in zip(flat(a)[0], flat(b)[0], strict=True)))
