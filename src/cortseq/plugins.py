"""Classes from outside the package: registered by call, by an entry point, or in a plug-in file.

The registries of models and of sources each hold one `Registry`. Plug-in files are named by `--plugin
FILE.py` on the command line, or by the environment variable CORTSEQ_PLUGINS (absolute paths, separated as
PATH is). A child process inherits the variable, so every job of a workflow loads the same files. A study
never names code.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from cortseq.errors import CortseqError

VARIABLE = "CORTSEQ_PLUGINS"
NAME = re.compile(r"[a-z][a-z0-9_]*")
_BINDINGS = ("MODEL", "SOURCE")  # what a file inside the package binds; a plug-in file may do the same

_loaded: dict[Path, ModuleType] = {}


def add(file: str | Path) -> None:
    """Load a plug-in file here and in every process started from here.

    Parameters
    ----------
    file : path of a Python file that registers models or sources.

    Raises
    ------
    CortseqError : the file is not there, cannot be run, or registers nothing.
    """
    path = Path(file).expanduser().resolve()
    _load(path)
    paths = _paths()
    if path not in paths:
        os.environ[VARIABLE] = os.pathsep.join(map(str, [*paths, path]))


def modules() -> list[ModuleType]:
    """Modules of all plug-in files that the environment names, each run once in a process."""
    paths = _paths()
    if paths:  # absolute from here on: a child process may start in another folder
        os.environ[VARIABLE] = os.pathsep.join(map(str, paths))
    return [_load(path) for path in paths]


def _paths() -> list[Path]:
    names = os.environ.get(VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(name).expanduser().resolve() for name in names if name))


def _load(path: Path) -> ModuleType:
    """Run a plug-in file as a module of its own."""
    if path in _loaded:
        return _loaded[path]
    if path.suffix != ".py" or not path.is_file():
        raise CortseqError("no such plug-in", file=path, fix=f"name a .py file by --plugin or {VARIABLE}")
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"cortseq_plugin_{path.stem}_{digest}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # known before it runs: pydantic looks up names of annotations there, and a plug-in may read a registry
    sys.modules[name] = _loaded[path] = module
    before = Registry.registrations
    try:
        specification.loader.exec_module(module)
        if Registry.registrations == before and not any(hasattr(module, name) for name in _BINDINGS):
            raise CortseqError(
                "the plug-in registers nothing",
                file=path,
                fix="call cortseq.models.register or cortseq.sources.register",
            )
    except Exception as error:
        del sys.modules[name], _loaded[path]
        if isinstance(error, CortseqError):
            raise
        raise CortseqError(f"the plug-in fails: {type(error).__name__}: {error}", file=path) from error
    return module


@functools.cache
def _entry_points(group: str) -> dict[str, type]:
    """Classes that installed packages offer under an entry-point group, by the name of the entry point."""
    found = {}
    for point in metadata.entry_points(group=group):
        try:
            found[f"{point.name} = {point.value}"] = point.load()
        except Exception as error:
            raise CortseqError(
                f"an installed plug-in fails: {type(error).__name__}: {error}",
                key=f"entry point {group}",
                value=f"{point.name} = {point.value}",
                fix="mend or uninstall the package",
            ) from error
    return found


class Registry:
    """Classes of one kind from outside the package, by name.

    Parameters
    ----------
    kind : "models" or "sources"; the entry-point group is `cortseq.<kind>`.
    key : the field whose default names a class, "family" or "source".
    binding : the variable by which a file offers its class, "MODEL" or "SOURCE".
    base : returns the class that all must derive from; called late, so that nothing heavy is imported before.
    built_in : returns the names in the package, each with the dotted name of its module.
    """

    registrations = 0  # of all kinds; how a plug-in file that registers nothing is noticed

    def __init__(
        self,
        kind: str,
        key: str,
        binding: str,
        base: Callable[[], type],
        built_in: Callable[[], dict[str, str]],
    ) -> None:
        self.kind, self.key, self.binding = kind, key, binding
        self.base, self.built_in = base, built_in
        self._classes: dict[str, type] = {}

    def register(self, cls: type) -> None:
        """Add a class under its name; adding it again, or its new version in a notebook, is no fault.

        Raises
        ------
        CortseqError : `cls` is not of this kind, has no name, or its name belongs to another class.
        """
        call = f"cortseq.{self.kind}.register"
        base = self.base()
        if not (inspect.isclass(cls) and issubclass(cls, base)):
            raise CortseqError(
                f"takes a class derived from {base.__module__}.{base.__name__}", key=call, value=cls
            )
        name = getattr(getattr(cls, "model_fields", {}).get(self.key), "default", None)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise CortseqError(
                "the class has no name, or one that a study could not write",
                key=call,
                value=cls.__name__,
                fix=f'write `{self.key}: Literal["my_name"] = "my_name"` in its body',
            )
        home = self.built_in().get(name)
        other = self._classes.get(name)
        if home == cls.__module__:
            return
        if home is not None or (other is not None and _identity(other) != _identity(cls)):
            owner = f"cortseq ({home})" if other is None else ".".join(_identity(other))
            raise CortseqError(
                f"the name belongs to {owner}", key=call, value=name, fix=f"choose another `{self.key}`"
            )
        self._classes[name] = cls
        Registry.registrations += 1

    def forget(self, name: str) -> None:
        """Remove a registered class; for tests."""
        self._classes.pop(name, None)

    def classes(self) -> dict[str, type]:
        """Name -> class of everything registered, entry points and plug-in files included."""
        for cls in _entry_points(f"cortseq.{self.kind}").values():
            self.register(cls)
        for module in modules():
            if hasattr(module, self.binding):
                self.register(getattr(module, self.binding))
        return dict(sorted(self._classes.items()))

    def every(self) -> dict[str, type]:
        """Name -> class of everything, in the package and from outside.

        Raises
        ------
        CortseqError : a file of the package does not have the name of its class.
        """
        inside = {name: self._inside(name, module) for name, module in self.built_in().items()}
        return dict(sorted((inside | self.classes()).items()))

    def find(self, name: str) -> type:
        """Return the class of a name; of the package no other is imported.

        Raises
        ------
        KeyError : there is none of this name.
        """
        outside, module = self.classes(), self.built_in().get(name)
        return outside[name] if module is None else self._inside(name, module)

    def _inside(self, name: str, module: str) -> type:
        cls: type = getattr(importlib.import_module(module), self.binding)
        own = getattr(cls, "model_fields", {})[self.key].default
        if own != name:
            raise CortseqError(
                f"the file is called {name!r}, and the {self.key} of its class {own!r}",
                key=f"cortseq.{self.kind}",
                value=module,
                fix="give both one name: a study finds the file by it",
            )
        return cls

    def files(self) -> dict[str, str]:
        """Return name -> Python file of the class, for fingerprints; its module where there is no file."""
        return {name: _file(cls) for name, cls in self.classes().items()}


def _identity(cls: type) -> tuple[str, str]:
    """Return module and name, equal for two versions of a class that a notebook defines again."""
    return cls.__module__, cls.__qualname__


def _file(cls: type) -> str:
    try:
        return str(Path(inspect.getfile(cls)).resolve())
    except (TypeError, OSError):  # typed into a session
        return cls.__module__
