"""Functions of small tensors, recorded so that their operations run without the Python that names them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_REPEATED = 40  # calls with tensors of one shape that pay for a recording

Function = Callable[..., Any]


def traced(function: Function, of: Any = None) -> Function:
    """Return a function that gives the same numbers, recorded by `torch.jit.trace` where it is called often.

    A step of a network of 32 units is dozens of operations of a few microseconds; naming them from Python
    takes twice as long again. There is one recording per shape of the arguments, and none where something is
    to be differentiated, or where torch cannot record.

    Parameters
    ----------
    function : of tensors, to a tensor or a tuple of them. It must draw no random number, and branch on
        nothing but the shapes of its arguments.
    of : the cell whose arithmetic it is. One from outside the package may branch on values, which a recording
        would freeze, and its function is returned as it is.
    """
    if of is not None and type(of).__module__.split(".")[0] != "cortseq":
        return function
    calls: Counter[Any] = Counter()
    recordings: dict[Any, Function] = {}

    def call(*tensors: torch.Tensor) -> Any:
        if torch.is_grad_enabled():
            return function(*tensors)
        key = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        if key not in recordings:
            calls[key] += 1
            if calls[key] < _REPEATED:
                return function(*tensors)
            recordings[key] = _recorded(function, tensors)
        return recordings[key](*tensors)

    return call


def _recorded(function: Function, tensors: tuple[torch.Tensor, ...]) -> Function:
    """Return the recording, or the function itself where torch cannot record it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its successors compile for seconds
        try:
            recording: Function = torch.jit.trace(function, tensors, check_trace=False)
            recording(*tensors)
        except (AttributeError, RuntimeError):
            return function
    return recording
