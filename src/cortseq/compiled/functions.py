"""exp, tanh and sigmoid that the compiler can vectorise.

In single precision they are written out (range reduction by powers of two, a polynomial on
[-ln 2 / 2, ln 2 / 2]), accurate to about 2e-7 relative; the C library's are scalar calls, ten times
slower. In double precision the C library's are used: that path checks gradients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

# FMA only: reassociation would let sums depend on the vector width of the machine more than they must.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1 / math.log(2)), np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))


@intrinsic
def _power_of_two(typing_context, k):
    """Return 2^k of an int32 in -126..127, by its bits."""

    def code(context, builder, signature, arguments):
        shifted = builder.shl(
            builder.add(arguments[0], ir.Constant(ir.IntType(32), 127)), ir.Constant(ir.IntType(32), 23)
        )
        return builder.bitcast(shifted, ir.FloatType())

    return types.float32(types.int32), code


@njit(forceinline=True, **OPTIONS)
def _reduced(x):
    """Return expm1(r) and 2^k with x = k ln 2 + r."""
    k = np.floor(x * _LOG2E + np.float32(0.5))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _C5 + r * (_C6 + r * _C7)
    p = _C2 + r * (_C3 + r * (_C4 + r * p))
    return r + r * r * p, _power_of_two(np.int32(k))


@njit(forceinline=True, **OPTIONS)
def _exp32(x):
    p, scale = _reduced(min(max(x, np.float32(-87.0)), np.float32(88.0)))
    return scale + scale * p


@njit(forceinline=True, **OPTIONS)
def _tanh32(x):
    p, scale = _reduced(min(max(np.float32(2) * x, np.float32(-20.0)), np.float32(20.0)))
    e = scale * p + (scale - np.float32(1))  # expm1(2x): keeps the relative accuracy of small x
    return e / (e + np.float32(2))


def exp(x: Any) -> Any:
    """Return e^x; in single precision x is held between -87 and 88."""
    return np.exp(x)


def tanh(x: Any) -> Any:
    """Return hyperbolic tangent."""
    return np.tanh(x)


@overload(exp, jit_options={"forceinline": True})
def _exp(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: math.exp(x))


@overload(tanh, jit_options={"forceinline": True})
def _tanh(x):
    return (lambda x: _tanh32(x)) if x == types.float32 else (lambda x: math.tanh(x))
