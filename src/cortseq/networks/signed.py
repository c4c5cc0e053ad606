"""Dale's law by parametrisation: column j of W (all outgoing weights of unit j) has one sign.

    W_ij = sign_j * softplus(b V_ij) / b,   W_jj = 0 unless self-connections are asked for,   b = SHARPNESS

No optimiser step can break it. The plain softplus (b = 1) has a slope of about W where W is small, and
recurrent weights are: they then learn some twenty times slower than those without a sign. A sharp one lets
them move (docs/defaults.md). The start is balanced row by row (zero sums), which keeps the
spectrum inside the bulk circle (Rajan & Abbott 2006, PRL 97:188104).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

SHARPNESS = 8.0


def column_signs(hidden: int, excitatory: float) -> np.ndarray:
    """Return +1 for the first round(excitatory * hidden) units, -1 for the rest, (hidden,); some of each."""
    n = int(np.clip(round(excitatory * hidden), 1, hidden - 1))
    return np.where(np.arange(hidden) < n, 1.0, -1.0)


def balanced_start(signs: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return V (n, n) such that W has sum zero in every row and spectral radius `radius`."""
    n = len(signs)
    size = rng.gamma(2.0, 0.5, (n, n)) * (1 - np.eye(n))
    plus, minus = (size * (signs > 0)).sum(1), (size * (signs < 0)).sum(1)
    # a row with no partner of the other sign (one inhibitory unit, itself) cannot be balanced
    ratio = np.where(minus > 0, plus / np.maximum(minus, 1e-12), 1.0)
    size = np.where(signs < 0, size * ratio[:, None], size)
    size *= radius / max(np.abs(np.linalg.eigvals(size * signs)).max(), 1e-6)
    size = np.maximum(size, 1e-6)
    return size + np.log(-np.expm1(-SHARPNESS * size)) / SHARPNESS  # the inverse of the sharp softplus


def signed_weights(v: torch.Tensor, signs: torch.Tensor, self_connections: bool = False) -> torch.Tensor:
    """Return W from V, (..., n, n), signs (..., n), zero diagonal without `self_connections`."""
    w = torch.nn.functional.softplus(v, beta=SHARPNESS) * signs.unsqueeze(-2)
    return w if self_connections else w * (1 - torch.eye(v.shape[-1], dtype=v.dtype, device=v.device))
