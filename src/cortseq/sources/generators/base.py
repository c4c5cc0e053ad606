"""What a generator is, the registry of all generators, and types of their options.

A generator is one function: decorated with its track, its keyword arguments are the options of the study
entry and its name is the `kind`. It returns the raw Dataset; latents are named `latent_<name>`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field

from cortseq._lazy import xr

Track = Literal["counts", "symbols", "signal"]
Whole = Annotated[int, Field(ge=1)]
Alphabet = Annotated[int, Field(ge=2)]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class Generator(NamedTuple):
    """A registered generator: its function and the track of what it gives."""

    function: Callable[..., xr.Dataset]
    track: Track

    @property
    def options(self) -> dict[str, Any]:
        """Option name -> type, as the function declares them."""
        parameters = inspect.signature(self.function).parameters.values()
        keywords = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
        # of the keywords alone: the type of what is returned would bring xarray
        declared = types.SimpleNamespace(__annotations__=keywords)
        return typing.get_type_hints(declared, self.function.__globals__, include_extras=True)


GENERATORS: dict[str, Generator] = {}


Make = TypeVar("Make", bound="Callable[..., xr.Dataset]")


def generator(track: Track) -> Callable[[Make], Make]:
    """Register a function as the generator of the kind that is its name."""

    def register(function: Make) -> Make:
        GENERATORS[function.__name__] = Generator(function, track)
        return function

    return register
