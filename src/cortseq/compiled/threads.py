"""One thread for products that are too small to share.

Whole fits run side by side instead (jobs of the workflow). More threads would make a training step slower,
many times slower where another process wants the same core, and its last bits depend on how many there are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg.cython_blas  # noqa: F401  (loads the BLAS that numba calls, so that it can be held)
from threadpoolctl import ThreadpoolController

_CONTROLLER = ThreadpoolController()


@contextmanager
def single() -> Iterator[None]:
    """Hold BLAS, and torch where it is imported, to one thread inside the block."""
    torch = sys.modules.get("torch")  # jobs of models that are no networks do without it
    before = torch.get_num_threads() if torch else 1
    with _CONTROLLER.limit(limits=1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
