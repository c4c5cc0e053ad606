"""Vectors of some registers as values of compiled code.

A sum over many rows is then held in registers, where a loop over an array loads and stores it at every term:
the compiler cannot do that by itself, because it does not know that the arrays do not overlap. Arrays are
addressed by the number of the element, which is not checked; they must be C-contiguous, which is.
"""

from __future__ import annotations

import math

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

from cortseq.compiled.functions import OPTIONS

# Four registers of AVX-512, two of AVX2, four of NEON: with four rows of a product in the air, half of
# them all.
BYTES = 256 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 64
_INDEX = ir.IntType(32)
_ALIGN = 4  # bytes, what is certain; `aligned` arrays are faster


class Vector(types.Type):
    """`lanes(dtype)` numbers of one type."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        number = manager.lookup(kind.dtype).get_data_type()
        super().__init__(manager, kind, ir.VectorType(number, BYTES * 8 // kind.dtype.bitwidth))


@njit(**OPTIONS)
def lanes(itemsize):
    """Return numbers of `itemsize` bytes in a vector."""
    return BYTES // itemsize


def aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return an empty array of `shape` that begins with a cache line.

    No vector then lies in one line more than it must.
    """
    size, line = math.prod(shape) * np.dtype(dtype).itemsize, 64
    raw = np.empty(size + line, np.uint8)
    first = -raw.ctypes.data % line
    return np.asarray(raw[first : first + size].view(dtype).reshape(shape))


def _vector(array) -> Vector:
    """Return the vector of an array's numbers."""
    if array.layout != "C":
        raise TypingError("vectors are of C-contiguous arrays only")
    return Vector(array.dtype)


def _at(context, builder, array_type, array, index):
    """Return pointer to a vector whose first number is element `index` of `array`."""
    kind = context.get_value_type(Vector(array_type.dtype))
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer()), kind


def _spread(builder, number, kind):
    """Return a vector of one number."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, kind.count), None))


def _below(builder, count, kind):
    """Mask of the first `count` lanes."""
    lane = ir.Constant(ir.VectorType(_INDEX, kind.count), list(range(kind.count)))
    return builder.icmp_signed("<", lane, _spread(builder, builder.trunc(count, _INDEX), lane.type))


def _intrinsic(builder, name, kind, result, arguments):
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    name = f"llvm.{name}.{suffix}" + (".p0" if name.startswith("masked") else "")
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


@intrinsic
def zeros(typing_context, array):
    """Return a vector of zeros of the type of `array`."""

    def code(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return _vector(array)(array), code


@intrinsic
def load(typing_context, array, index):
    """Return array[index], array[index + 1] ..."""

    def code(context, builder, signature, arguments):
        value = builder.load(_at(context, builder, signature.args[0], *arguments)[0])
        value.align = _ALIGN
        return value

    return _vector(array)(array, types.intp), code


@intrinsic
def load_first(typing_context, array, index, count):
    """As `load`; lanes from `count` on are 0 and not read."""

    def code(context, builder, signature, arguments):
        pointer, kind = _at(context, builder, signature.args[0], *arguments[:2])
        align, mask = ir.Constant(_INDEX, _ALIGN), _below(builder, arguments[2], kind)
        return _intrinsic(builder, "masked.load", kind, kind, [pointer, align, mask, ir.Constant(kind, None)])

    return _vector(array)(array, types.intp, types.intp), code


@intrinsic
def store(typing_context, array, index, vector):
    """Store a vector: array[index], array[index + 1] ... = vector."""

    def code(context, builder, signature, arguments):
        pointer, _ = _at(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer).align = _ALIGN
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector(array)), code


@intrinsic
def store_first(typing_context, array, index, vector, count):
    """As `store`, the first `count` lanes only."""

    def code(context, builder, signature, arguments):
        pointer, kind = _at(context, builder, signature.args[0], *arguments[:2])
        align, mask = ir.Constant(_INDEX, _ALIGN), _below(builder, arguments[3], kind)
        _intrinsic(builder, "masked.store", kind, ir.VoidType(), [arguments[2], pointer, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector(array), types.intp), code


@intrinsic
def add(typing_context, total, array, index, vector):
    """Return total + array[index] * vector, rounded once."""

    def code(context, builder, signature, arguments):
        total, array, index, vector = arguments
        data = context.make_array(signature.args[1])(context, builder, array).data
        factor = _spread(builder, builder.load(builder.gep(data, [index])), vector.type)
        return _intrinsic(builder, "fma", vector.type, vector.type, [factor, vector, total])

    return total(_vector(array), array, types.intp, _vector(array)), code


@intrinsic
def plus(typing_context, a, b):
    """Return a + b."""

    def code(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return a(a, b), code
