"""One family = one module. A new model is one new file here; nothing else is edited."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortseq.models.base import Fit, Model

_HELPERS = {
    *(
        "base",
        "chain",
        "emissions",
        "encoder",
        "forward_backward",
        "futures",
        "maps",
        "recurrent",
        "signed",
        "smoothing",
        "squarem",
    ),
    *("state_chain", "state_emissions"),
}


def registry() -> dict[str, type[Model]]:
    """Family name -> class, found by looking at the modules of this package."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _HELPERS)
    return {name: importlib.import_module(f"{__name__}.{name}").MODEL for name in names}


def __getattr__(name: str):
    """`cortseq.models.Rate` and so on, by class name."""
    for model in registry().values():
        if model.__name__ == name:
            return model
    raise AttributeError(f"cortseq.models has no {name!r}")


def load(path: str | Path) -> Fit:
    """Read a Fit that `Fit.save` wrote; `path` is its .safetensors file."""
    from safetensors.numpy import load_file

    from cortseq import store
    from cortseq.errors import CortseqError
    from cortseq.models.base import Fit, safetensors_path

    path = safetensors_path(path)
    if not path.is_file():
        raise CortseqError("no such fit", file=path, fix="run the fit stage")
    card = store.read_json(path.with_suffix(".json"))
    model = registry()[card["model"]["family"]].model_validate(card["model"])
    params: dict = load_file(path)
    if model.role == "recurrent":
        import torch

        params = {name: torch.from_numpy(value) for name, value in params.items()}
    return Fit(model, params, card, store.read_table(path.with_suffix(".parquet")))
