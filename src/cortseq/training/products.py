"""Large matrix products on one core, by whichever library is faster on this processor.

On Intel's, torch's (MKL) is 1.1-1.5 times as fast as OpenBLAS at the shapes of a training step, on AMD's it
reaches half of it. The choice depends on the machine alone, so results repeat. The small products inside
the loops over time stay with OpenBLAS everywhere: no call overhead, and faster at their size.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch


def _intel() -> bool:
    described = Path("/proc/cpuinfo")
    return "GenuineIntel" in (described.read_text() if described.exists() else platform.processor())


_TORCH = _intel()


def into(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b, all C-contiguous."""
    if _TORCH:
        torch.mm(torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(out))
    else:
        np.dot(a, b, out=out)


def add_transposed(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """total += a^T b, all C-contiguous."""
    if _TORCH:
        torch.from_numpy(total).addmm_(torch.from_numpy(a).T, torch.from_numpy(b))
    else:
        total += a.T @ b
