"""One family = one module. A new model is one new file; nothing else is edited.

Families are looked for in this package, in its folders, and in `cortseq.networks.families`. Those from
outside are registered: `cortseq.models.register`, entry points "cortseq.models", plug-in files
(`cortseq.plugins`).
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cortseq import plugins

if TYPE_CHECKING:  # what `__getattr__` finds, for type checkers and editors; a test keeps it complete
    from cortseq.models.base import Fit as Fit
    from cortseq.models.base import Model as Model
    from cortseq.models.chains.ctw import ContextTree as ContextTree
    from cortseq.models.chains.markov import Markov as Markov
    from cortseq.models.drift import Drift as Drift
    from cortseq.models.estimator import Estimator as Estimator
    from cortseq.models.flat import Flat as Flat
    from cortseq.models.glm import Glm as Glm
    from cortseq.models.hmm.hmm import Hmm as Hmm
    from cortseq.models.null import Null as Null
    from cortseq.models.persistence import Persistence as Persistence
    from cortseq.models.psth import Psth as Psth
    from cortseq.models.state_space.lds import Lds as Lds
    from cortseq.models.state_space.slds import Slds as Slds
    from cortseq.networks.families.dale import Dale as Dale
    from cortseq.networks.families.esn import Esn as Esn
    from cortseq.networks.families.gru import Gru as Gru
    from cortseq.networks.families.low_rank import LowRank as LowRank
    from cortseq.networks.families.lru import Lru as Lru
    from cortseq.networks.families.lstm import Lstm as Lstm
    from cortseq.networks.families.rate import Rate as Rate
    from cortseq.networks.families.selective import Selective as Selective
    from cortseq.networks.families.stp import Stp as Stp
    from cortseq.networks.families.transformer import Transformer as Transformer

    CTW = ContextTree
    ESN = Esn
    GLM = Glm
    GRU = Gru
    HMM = Hmm
    LDS = Lds
    LRU = Lru
    LSTM = Lstm
    PSTH = Psth
    SLDS = Slds
    STP = Stp

_M = TypeVar("_M", bound=type)
# Folders of families, without the modules of this package itself.
_PLACES = ("models", "models/chains", "models/hmm", "models/state_space", "networks/families")


def modules() -> dict[str, str]:
    """Family name -> dotted name of its module, or file of an outside family; no built-in one is imported.

    A helper beside the families binds no `MODEL`, so it cannot be taken for one.
    """
    return dict(sorted((_found() | _outside.files()).items()))


@functools.cache
def _found() -> dict[str, str]:
    return {family: module for family, (module, _) in _families().items()}


@functools.cache
def _families() -> dict[str, tuple[str, str]]:
    """Family name -> (dotted name of its module, name of its class), read from the files."""
    package = Path(__file__).parent.parent
    found = {}
    for place in _PLACES:
        for info in pkgutil.iter_modules([str(package / place)]):
            file = package / place / f"{info.name}.py"
            bound = [line for line in _lines(file) if line.startswith("MODEL = ")] if not info.ispkg else []
            if bound:
                module = ".".join(["cortseq", *place.split("/"), info.name])
                found[info.name] = module, bound[0].removeprefix("MODEL = ").strip()
    return found


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as text:
        yield from text


def registry() -> dict[str, type[Model]]:
    """Family name -> class."""
    return _outside.every()


def find(name: str) -> type[Model]:
    """Return the class of a family, without an import of any other; KeyError where there is none."""
    return _outside.find(name)


def register(cls: _M) -> _M:
    """Make an own family known to studies, to `load` and to the command line; a call or a decorator.

    Parameters
    ----------
    cls : subclass of `cortseq.models.base.Model` (of a network family, for instance) with
        `family: Literal["my_name"] = "my_name"`.

    Returns
    -------
    cls : the class itself.

    Raises
    ------
    CortseqError : the name belongs to another class, or `cls` is no Model.
    """
    _outside.register(cls)
    return cls


def _base() -> type:
    from cortseq.models.base import Model

    return Model


_outside = plugins.Registry("models", "family", "MODEL", _base, _found)


# Spelled as people write them; every other family is known by the name of its class.
_SPELLED = {name.lower(): name for name in "CTW ESN GLM GRU HMM LDS LRU LSTM PSTH SLDS STP".split()}


if not TYPE_CHECKING:  # a type checker would take any name for one that there is

    def __getattr__(name: str) -> Any:
        """`cortseq.models.Rate`, `LSTM` and so on: by the name of the class, or of the family in any case."""
        if name.startswith("_") or name.islower():  # a module: `from cortseq.models import horizons`
            raise AttributeError(f"cortseq.models has no {name!r}")
        if name == "Estimator":
            return importlib.import_module("cortseq.models.estimator").Estimator
        for family, (_, bound) in _families().items():
            if name == bound or name.lower() == family.replace("_", ""):
                return find(family)
        for model in _outside.classes().values():
            if model.__name__ == name:
                return model
        known = {each.lower(): each for each in __dir__()}
        near = difflib.get_close_matches(name.lower(), known, 1)
        meant = f": did you mean {known[near[0]]}?" if near else ""
        raise AttributeError(f"cortseq.models has no {name!r}{meant}")


def __dir__() -> list[str]:
    """Every family by the name that people type, and the functions; nothing is imported."""
    own = [_SPELLED.get(family, bound) for family, (_, bound) in _families().items()]
    return [*sorted([*own, "Estimator"]), "find", "load", "modules", "register", "registry"]


def load(path: str | Path) -> Fit:
    """Read a Fit that `Fit.save` wrote; `path` is its .safetensors file."""
    from safetensors.numpy import load_file

    from cortseq import store
    from cortseq.errors import CortseqError
    from cortseq.models.base import Fit

    path = store.safetensors_path(path)
    if not path.is_file():
        raise CortseqError("no such fit", file=path, fix="run the fit stage")
    card = store.read_json(path.with_suffix(".json"))
    family = card["model"]["family"]
    if family not in modules():
        raise CortseqError(
            "the fit is of a family that is not known here",
            file=path,
            key="family",
            value=family,
            fix="register its class first: cortseq.models.register(MyModel), --plugin FILE.py, "
            f"or {plugins.VARIABLE}=FILE.py",
        )
    model = find(family).model_validate(card["model"])
    params: dict = load_file(path)
    if model.role == "recurrent":
        import torch

        params = {name: torch.from_numpy(value) for name, value in params.items()}
    return Fit(model, params, card, store.read_table(path.with_suffix(".parquet")))
