"""Recurrent networks against Markov chains: which explains a recording better, and how it moves."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from cortseq.comparing import Comparison

__version__ = "0.1.0"
_MODULES = ("dynamics", "models", "recording", "scoring", "store", "theory")
__all__ = ["compare", "fit_together", "open", "read", *_MODULES]


def open(path: str | Path) -> xr.Dataset:
    """Read a Recording (or any product `.zarr.zip`) into memory."""
    from cortseq import store

    return store.read(path)


def read(path: str | Path, source: str | None = None, *, seed: int = 0, **keys: Any) -> xr.Dataset:
    """Return the Recording of one raw file; see `cortseq.reading.read`."""
    found: xr.Dataset = importlib.import_module("cortseq.reading").read(path, source, seed=seed, **keys)
    return found


def compare(recording: xr.Dataset, models: Any, **how: Any) -> Comparison:
    """Fit models to a recording and compare them on held-out trials; see `cortseq.comparing.compare`."""
    found: Comparison = importlib.import_module("cortseq.comparing").compare(recording, models, **how)
    return found


def fit_together(model: Any, recordings: Any, train: Any, valid: Any, **how: Any) -> dict[str, Any]:
    """Return fits of several recordings that share one cell; see `cortseq.networks.together.fit_together`."""
    module = importlib.import_module("cortseq.networks.together")
    found: dict[str, Any] = module.fit_together(model, recordings, train, valid, **how)
    return found


def __getattr__(name: str):
    """Return `cortseq.models` and so on without importing them before they are used."""
    if name in _MODULES:
        return importlib.import_module(f"cortseq.{name}")
    raise AttributeError(f"module 'cortseq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
