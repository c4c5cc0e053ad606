"""Heavy modules imported at first use: reading a study must not cost two seconds of torch."""

import importlib
import types


class _Lazy(types.ModuleType):
    def __getattr__(self, name: str):
        module = self.__dict__.get("_module")
        if module is None:
            module = self.__dict__["_module"] = importlib.import_module(self.__name__)
        return getattr(module, name)


def lazy(name: str) -> types.ModuleType:
    """Return a stand-in for module `name` that imports it when an attribute is first asked for."""
    return _Lazy(name)
