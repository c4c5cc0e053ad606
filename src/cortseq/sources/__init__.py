"""One kind of file = one module. A new source is one new file here; nothing else is edited."""

import importlib
import pkgutil

from cortseq.sources.base import Source

_SHARED = {"base", "arrays"}


def registry() -> dict[str, type[Source]]:
    """Return source name -> class, found by looking at the modules of this package."""
    found: dict[str, type[Source]] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if info.name not in _SHARED:
            found[info.name] = importlib.import_module(f"{__name__}.{info.name}").SOURCE
    return found
