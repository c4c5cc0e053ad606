"""Arithmetic of tangent vectors (..., size, k): k columns, with as few passes over them as there can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def product(weight: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Return W v (..., to, k) of a matrix W (to, size) and vectors v (..., size, k)."""
    if vectors.shape[-1] == 1:  # one matrix product of all vectors, in place of one per state
        return (vectors.squeeze(-1) @ weight.mT).unsqueeze(-1)
    return weight @ vectors


def combined(*terms: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return c_1 v_1 + c_2 v_2 + ... of factors c (..., size) and vectors v (..., size, k)."""
    (factor, vectors), *others = terms
    total = factor.unsqueeze(-1) * vectors
    for factor, vectors in others:
        total = torch.addcmul(total, factor.unsqueeze(-1), vectors)
    return total
