"""One module for each claim of the field's textbook, predicted and measured.

A module has a function `measure(seed, say, **settings) -> Dataset`.

The module of the same name in `cortseq.textbook.figures` draws it. Settings are keyword arguments with
defaults that take at most two minutes on one core; a study gives others under `theory: {name: {setting:
value}}`. A setting `dataset` names a recording of the study, which `measure` then receives as `recording`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil


def names() -> list[str]:
    """Return every phenomenon, found by its file; none is imported."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "checks")


def settings(name: str) -> list[str]:
    """Return what a study may set for a phenomenon; `dataset` where it can be shown on a recording."""
    measure = importlib.import_module(f"{__name__}.{name}").measure
    known = [key for key in inspect.signature(measure).parameters if key not in ("seed", "say")]
    return ["dataset" if key == "recording" else key for key in known]
