"""Recurrent networks against Markov chains: which explains a recording better, and how it moves."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` finds, for type checkers and editors
    import xarray as xr
    from matplotlib.figure import Figure

    from cortseq import dynamics as dynamics
    from cortseq import export as export
    from cortseq import models as models
    from cortseq import recording as recording
    from cortseq import scoring as scoring
    from cortseq import sources as sources
    from cortseq import store as store
    from cortseq import theory as theory
    from cortseq.comparing import Comparison, Models
    from cortseq.models.fit import Fit
    from cortseq.models.progress import Progress
    from cortseq.networks.recurrent import Recurrent

__version__ = "0.1.0"
_MODULES = ("dynamics", "export", "models", "recording", "scoring", "sources", "store", "theory")
__all__ = ["compare", "fit_together", "open", "plot", "read", *_MODULES]


def open(path: str | Path) -> xr.Dataset:
    """Read a Recording (or any product `.zarr.zip`) into memory."""
    from cortseq import store

    return store.read(path)


def read(path: str | Path, source: str | None = None, *, seed: int = 0, **keys: Any) -> xr.Dataset:
    """Return the Recording of one raw file; see `cortseq.reading.read`."""
    found: xr.Dataset = _found("reading").read(path, source, seed=seed, **keys)
    return found


def compare(
    recording: xr.Dataset,
    models: Models,
    *,
    members: int = 3,
    folds: int = 1,
    seed: int = 0,
    burn_in: int = 0,
    device: str = "cpu",
    progress: Progress | bool | None = None,
) -> Comparison:
    """Fit models to a recording and compare them on held-out trials; see `cortseq.comparing.compare`."""
    how = {"members": members, "folds": folds, "seed": seed, "burn_in": burn_in, "device": device}
    found: Comparison = _found("comparing").compare(recording, models, **how, progress=progress)
    return found


def fit_together(
    model: Recurrent,
    recordings: Mapping[str, xr.Dataset],
    train: Mapping[str, Sequence[int]],
    valid: Mapping[str, Sequence[int]],
    members: int = 1,
    seed: int = 0,
    device: str = "cpu",
    **how: Any,
) -> dict[str, Fit]:
    """Return fits of several recordings that share one cell; see `cortseq.networks.together.fit_together`."""
    together = _found("networks.together").fit_together
    found: dict[str, Fit] = together(model, recordings, train, valid, members, seed, device, **how)
    return found


def plot(thing: Any, *arguments: Any, **options: Any) -> Figure:
    """Draw a fit, fixed points, or a comparison; see `cortseq.plotting.plot`."""
    found: Figure = _found("plotting").plot(thing, *arguments, **options)
    return found


def _found(module: str) -> Any:
    """Return a module of the package, imported when it is first used."""
    return importlib.import_module(f"cortseq.{module}")


if not TYPE_CHECKING:  # a type checker would take any name for one that there is

    def __getattr__(name: str) -> Any:
        """Return `cortseq.models` and so on without importing them before they are used."""
        if name in _MODULES:
            return _found(name)
        raise AttributeError(f"module 'cortseq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
