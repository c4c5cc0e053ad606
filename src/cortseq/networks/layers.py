"""Names of the parameters of a cell in layers: those of layer 1 are plain, those of layer l end in `_l`."""

from __future__ import annotations

from typing import TypeVar

Array = TypeVar("Array")


def layer(q: dict[str, Array], number: int) -> dict[str, Array]:
    """Return the parameters of layer `number` (1 is the bottom) by a single layer's names; any shape."""
    if number == 1:
        return q
    end = f"_{number}"
    return {name.removesuffix(end): value for name, value in q.items() if name.endswith(end)}


def named(own: dict[str, Array], number: int) -> dict[str, Array]:
    """Return the parameters of layer `number` by their names in the whole cell; any shape."""
    return own if number == 1 else {f"{name}_{number}": value for name, value in own.items()}
