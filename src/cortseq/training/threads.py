"""One thread for products that are too small to share.

Whole fits run side by side instead (jobs of the workflow). More threads would make a training step slower,
many times slower where another process wants the same core, and its last bits depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg.cython_blas  # noqa: F401  (loads the BLAS that numba calls, so that it can be held)
import torch
from threadpoolctl import ThreadpoolController

_CONTROLLER = ThreadpoolController()


@contextmanager
def single() -> Iterator[None]:
    """BLAS and torch hold to one thread inside the block."""
    before = torch.get_num_threads()
    with _CONTROLLER.limit(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
