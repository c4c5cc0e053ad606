"""Heavy modules imported at first use: reading a study must not cost seconds of imports.

`from cortseq._lazy import pd, xr` binds pandas and xarray, `special` and so on are the parts of scipy.
"""

from __future__ import annotations

import importlib
import types
from typing import TYPE_CHECKING, Any

__all__ = ["blas", "lapack", "lazy", "ndimage", "pd", "sparse", "special", "xr"]


class _Lazy(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_module")
        if module is None:
            module = self.__dict__["_module"] = importlib.import_module(self.__name__)
        return getattr(module, name)


def lazy(name: str) -> types.ModuleType:
    """Return a stand-in for module `name` that imports it when an attribute is first asked for."""
    return _Lazy(name)


if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
else:
    pd, xr = lazy("pandas"), lazy("xarray")

blas: Any = lazy("scipy.linalg.blas")
lapack: Any = lazy("scipy.linalg.lapack")
ndimage: Any = lazy("scipy.ndimage")
sparse: Any = lazy("scipy.sparse")
special: Any = lazy("scipy.special")
