"""Names of parameters of cells in layers: those of layer l end in `_l`, l = 1 is the bottom.

In a cell that may have a single layer those of layer 1 are plain (`layer`, `named`).
"""

from __future__ import annotations

from typing import TypeVar

Array = TypeVar("Array")


def end(number: int) -> str:
    """Return the end of the names of layer `number` where those of layer 1 are plain."""
    return "" if number == 1 else f"_{number}"


def numbered(q: dict[str, Array], number: int) -> dict[str, Array]:
    """Return the parameters whose names end in the number of a layer, without that end; any shape."""
    return {n.removesuffix(f"_{number}"): value for n, value in q.items() if n.endswith(f"_{number}")}


def with_number(own: dict[str, Array], number: int) -> dict[str, Array]:
    """Return the parameters of a layer with its number at the end of their names; any shape."""
    return {f"{name}_{number}": value for name, value in own.items()}


def layer(q: dict[str, Array], number: int) -> dict[str, Array]:
    """Return the parameters of layer `number` by a single layer's names, plain in layer 1; any shape."""
    return q if number == 1 else numbered(q, number)


def named(own: dict[str, Array], number: int) -> dict[str, Array]:
    """Return a layer's parameters by their names in the whole cell, plain in layer 1; any shape."""
    return own if number == 1 else with_number(own, number)
