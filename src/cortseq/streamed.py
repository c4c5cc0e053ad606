"""Variables whose trials are made or read when they are indexed: a recording need not fit into memory.

Such a variable behaves like any other of an `xarray.Dataset`. Indexing it by trials (`isel`) makes nothing;
`.values` of the trials that are left makes those, and does not keep them. Whoever computes with a variable
that may be large therefore goes through it in blocks of trials (`cortseq.memory.blocks`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import xr
from cortseq.memory import block_numbers

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

# Positions (trial,) -> values (trial, ...) of those trials.
Make = Callable[[np.ndarray], np.ndarray]


def is_large(shape: tuple[int, ...]) -> bool:
    """Return whether an array of this shape has more numbers than a block."""
    return math.prod(shape) > block_numbers()


def variable(dims: tuple[str, ...], shape: tuple[int, ...], dtype: DTypeLike, make: Make) -> xr.Variable:
    """Return a variable whose first dimension is "trial": in memory, or streamed where it is large.

    Parameters
    ----------
    dims, shape, dtype : of the whole variable.
    make : returns the values of some trials.
    """
    if not is_large(shape):
        return xr.Variable(dims, make(np.arange(shape[0])))
    from xarray.core import indexing

    return xr.Variable(dims, indexing.LazilyIndexedArray(_array(shape, np.dtype(dtype), make)))


def mapped(source: xr.Variable, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> xr.Variable:
    """Return a variable of the same shape and type whose trials are computed from those of `source`.

    Parameters
    ----------
    source : variable whose first dimension is "trial".
    function : values (trial, ...) of `source` and their positions (trial,) -> values (trial, ...).
    """

    def make(trials: np.ndarray) -> np.ndarray:
        return function(source.isel({source.dims[0]: trials}).values, trials)

    return variable(tuple(map(str, source.dims)), source.shape, source.dtype, make)


def _array(shape: tuple[int, ...], dtype: np.dtype[Any], make: Make) -> Any:
    """Return what xarray takes for an array on disk; xarray is imported when the first one is made."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Trials(BackendArray):
        """An array (trial, ...) whose trials are made when they are indexed."""

        def __init__(self) -> None:
            self.shape, self.dtype = shape, dtype

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.OUTER
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._values)

        def _values(self, key: tuple[Any, ...]) -> np.ndarray:
            first, *others = key
            values = make(np.atleast_1d(np.arange(self.shape[0])[first]))
            for axis in range(len(others), 0, -1):  # the last first: an integer takes its axis away
                values = values[(slice(None),) * axis + (others[axis - 1],)]
            return values[0] if np.ndim(first) == 0 and not isinstance(first, slice) else values

    return Trials()
