"""One kind of file = one module. A new source is one new file here; nothing else is edited.

Sources from outside are registered: `cortseq.sources.register`, entry points "cortseq.sources", plug-in files
(`cortseq.plugins`).
"""

from __future__ import annotations

import functools
import pkgutil
from pathlib import Path
from typing import TypeVar

from cortseq import plugins
from cortseq.sources.base import Source

_S = TypeVar("_S", bound=type)


def modules() -> dict[str, str]:
    """Return source name -> dotted name of its module, or the file of a source from outside.

    No built-in source is imported.
    A helper beside the sources binds no `SOURCE`, so it cannot be taken for one.
    """
    return dict(sorted((_found() | _outside.files()).items()))


@functools.cache
def _found() -> dict[str, str]:
    found = {}
    for info in pkgutil.iter_modules(__path__):
        if info.ispkg:
            continue
        text = (Path(__path__[0]) / f"{info.name}.py").read_text(encoding="utf-8")
        if any(line.startswith("SOURCE = ") for line in text.splitlines()):
            found[info.name] = f"{__name__}.{info.name}"
    return found


def registry() -> dict[str, type[Source]]:
    """Return source name -> class."""
    return _outside.every()


def find(name: str) -> type[Source]:
    """Return the class of a source, without an import of any other; KeyError where there is none."""
    return _outside.find(name)


def register(cls: _S) -> _S:
    """Make an own kind of file known to studies and to the command line; a call or a decorator.

    Parameters
    ----------
    cls : subclass of `cortseq.sources.base.Source` with `source: Literal["my_name"] = "my_name"`.

    Returns
    -------
    cls : the class itself.

    Raises
    ------
    CortseqError : the name belongs to another class, or `cls` is no Source.
    """
    _outside.register(cls)
    return cls


_outside = plugins.Registry("sources", "source", "SOURCE", lambda: Source, _found)
