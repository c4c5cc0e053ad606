"""The faults, one file an area."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from mutation.records import Fault


def areas() -> list[str]:
    """Names of the areas, in order."""
    return sorted(module.name for module in iter_modules(__path__))


def of(area: str) -> list[Fault]:
    """The faults of one area."""
    return import_module(f"mutation.faults.{area}").FAULTS
