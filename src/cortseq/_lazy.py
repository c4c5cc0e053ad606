"""Heavy modules imported at first use: reading a study must not cost two seconds of torch."""

import importlib
import types


class _Lazy(types.ModuleType):
    def __getattr__(self, name: str):
        return getattr(importlib.import_module(self.__name__), name)


def lazy(name: str) -> types.ModuleType:
    """Return a stand-in for module `name` that imports it when an attribute is first asked for."""
    return _Lazy(name)
