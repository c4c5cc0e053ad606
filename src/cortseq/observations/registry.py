"""Which distributions there are: the files of this folder with a line `OBSERVATION = Class`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from cortseq.observations.tracks import TRACKS

if TYPE_CHECKING:
    from cortseq.observations.base import Distribution


@functools.cache
def modules() -> dict[str, str]:
    """Return name -> dotted name of its module of every distribution; none is imported.

    A file of the folder that binds no `OBSERVATION` is a helper.
    """
    folder = Path(__file__).parent
    found = {}
    for info in pkgutil.iter_modules([str(folder)]):
        lines = (folder / f"{info.name}.py").read_text(encoding="utf-8").splitlines()
        if any(line.startswith("OBSERVATION = ") for line in lines):
            found[info.name] = f"cortseq.observations.{info.name}"
    return found


def distribution(name: str) -> type[Distribution]:
    """Return the class of a distribution by its name, which is that of its file."""
    found: type[Distribution] = importlib.import_module(modules()[name]).OBSERVATION
    return found


@functools.cache
def names(track: str) -> tuple[str, ...]:
    """Return the distributions of a track ("counts", "symbols", "signal") by name, the default first."""
    default = TRACKS[track].default
    return (default, *(name for name in modules() if name != default and distribution(name).track == track))
