"""Functions of numpy and torch arrays alike, so that a distribution is written once.

A function looks at its argument and calls numpy (with scipy) or torch. Random numbers come from `NumpyDraws`
or `TorchDraws`, which offer the same methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, special

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


_FEW, _TABLE = 100_000, 10_000  # numbers from which on a table is faster; its largest entry


def is_numpy(x: Any) -> bool:
    """Whether `x` is a numpy array or a plain number, and not a tensor."""
    return isinstance(x, np.ndarray | np.generic | float | int)


def log(x: Any) -> Any:
    """Return ln x, elementwise."""
    return np.log(x) if is_numpy(x) else x.log()


def log1p(x: Any) -> Any:
    """Return ln(1 + x), elementwise."""
    return np.log1p(x) if is_numpy(x) else x.log1p()


def log_gamma(x: Any) -> Any:
    """Return ln Gamma(x), elementwise."""
    return special.gammaln(x) if is_numpy(x) else torch.lgamma(x)


def log_factorial(y: Any) -> Any:
    """Return ln y!, elementwise; that of many whole numbers is looked up."""
    if isinstance(y, np.ndarray) and y.dtype.kind in "iu" and y.size > _FEW:
        low, high = int(y.min()), int(y.max())
        if 0 <= low and high < _TABLE:
            return log_gamma(np.arange(1.0, high + 2))[y]
    return log_gamma(y + 1.0)


def rows(y: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the valid bins (bin, ...) of y (trial, time, ...); no copy where all are valid."""
    return y.reshape(-1, *y.shape[2:]) if valid.all() else y[valid]


def any_left(x: Any) -> bool:
    """Return whether any element is not zero."""
    return bool((x != 0).any())


class NumpyDraws:
    """Random numbers of a numpy generator."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def poisson(self, rate: np.ndarray) -> np.ndarray:
        """Draw Poisson counts with these rates (...)."""
        return np.asarray(self.rng.poisson(rate))

    def gamma(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        """Draw Gamma numbers with these means (..., unit) and variances dispersion x mean^2."""
        return self.rng.gamma(1 / dispersion, dispersion * mean)


class TorchDraws:
    """Random numbers of a torch generator."""

    def __init__(self, generator: torch.Generator | None):
        self.generator = generator

    def poisson(self, rate: torch.Tensor) -> torch.Tensor:
        """Draw Poisson counts with these rates (...), as floating-point numbers."""
        return torch.poisson(rate, generator=self.generator)

    def gamma(self, mean: torch.Tensor, dispersion: torch.Tensor) -> torch.Tensor:
        """Draw Gamma numbers with these means (..., unit) and variances dispersion x mean^2."""
        shape = (1 / dispersion).expand(mean.shape).contiguous()
        return torch._standard_gamma(shape, generator=self.generator) * dispersion * mean


def chosen(weights: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Draw an index (...) by weights (..., choice), the numbers of `torch.multinomial`.

    On a GPU that function waits for the device twice, to check its weights.
    """
    return (weights / torch.empty_like(weights).exponential_(1, generator=generator)).argmax(-1)


def row(parameter: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a parameter per feature, (feature,) or (member, feature), shaped to broadcast against `like`.

    Parameters
    ----------
    parameter : (feature,) or (member, feature)
    like : (..., feature), or with members (member, ..., feature)

    Returns
    -------
    (feature,) as it is, or (member, 1, .., 1, feature) with as many axes as `like`.
    """
    if parameter.ndim == 1:
        return parameter
    return parameter.reshape(parameter.shape[0], *(1,) * (like.ndim - 2), parameter.shape[1])
