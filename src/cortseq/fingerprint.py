"""A digest of the code a stage uses, so that Snakemake re-runs what changed code touches and no more.

The digest covers the syntax trees, without docstrings, of the named modules and of every cortseq module
they import (function-level imports included): a comment or a docstring re-runs nothing. Files are known by
their module's or script's name, never by where they lie: a project that is moved or renamed
re-runs nothing either.
Versions of the libraries that the numbers depend on belong to it.

Modules that are found at run time (families by `cortseq.models`, sources, phenomena, figures) are imported by
no statement: a stage that uses one names it. Distributions belong to whatever imports `cortseq.observations`.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from cortseq import store
from cortseq.observations import registry

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "numba")


def fingerprint(*roots: str | Path) -> str:
    """Return the hex digest of modules by name ("cortseq.networks.families.rate") or of script files by path.

    The order of the roots does not matter.
    """
    seen: dict[str, str] = {}
    waiting = [str(root) for root in roots]
    while waiting:
        root = waiting.pop()
        name = Path(root).name if root.endswith(".py") else root
        if name not in seen:
            seen[name], imported = _read(root)
            waiting += imported
    _remember()
    parts = [f"{name} {digest}" for name, digest in sorted(seen.items())]
    parts += [f"{name} {version(name)}" for name in LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@functools.cache
def version(library: str) -> str:
    """Return the version of an installed library without importing it; "" where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def canonical(value: Any) -> Any:
    """Return the same content with the keys of every mapping in order, for parameters of a rule."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list) else value


@functools.cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """Digest of one file's syntax tree, and the cortseq modules it imports."""
    path = Path(name) if name.endswith(".py") else _path(name)
    if path is None:
        raise ModuleNotFoundError(name)
    text = path.read_text(encoding="utf-8")
    key = hashlib.sha256(text.encode()).hexdigest()
    syntax = _USED[key] = _USED.get(key) or _parsed_before().get(key) or _syntax(ast.parse(text))
    imported = _imports(syntax) | _families(syntax)
    if "cortseq.observations" in imported:
        imported |= set(registry.modules().values())
    return syntax["digest"], tuple(sorted(imported))


class _Syntax(TypedDict):
    """What a fingerprint needs of the text of one file, wherever it lies."""

    digest: str  # of the syntax tree without docstrings
    imported: list[str]  # names from cortseq, as in "cortseq.store" or "cortseq.store.read"
    families: list[str]  # names of classes taken from the package, as in `models.Rate`


def _syntax(tree: ast.Module) -> _Syntax:
    """Return what a fingerprint needs of a syntax tree, which loses its docstrings."""
    imported, families, typed = set(), set(), _typed(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cortseq"):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names if alias not in typed}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names if alias.name.startswith("cortseq.")}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            families |= {node.attr} if node.value.id == "models" else set()
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return {"digest": digest, "imported": sorted(imported), "families": sorted(families)}


def _typed(tree: ast.Module) -> set[ast.alias]:
    """Return the imports such as `Rate as Rate` that tell a type checker what a package finds by name."""
    checked = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    names = [part for node in checked for part in ast.walk(node) if isinstance(part, ast.alias)]
    return {name for name in names if name.asname == name.name}


def _imports(syntax: _Syntax) -> set[str]:
    """Modules of cortseq that a file imports; of `cortseq.store.read` it is `cortseq.store`."""
    found = {name if _path(name) else name.rpartition(".")[0] for name in syntax["imported"]}
    return {name for name in found if name != "cortseq" and _path(name)}


def _families(syntax: _Syntax) -> set[str]:
    """Modules of the families that a file takes from the package by class name, as in `models.Rate`."""
    taken = syntax["families"]
    return {module for name, module in _classes().items() if name in taken} if taken else set()


# -- syntax that is known from other processes ---------------------------------------------------------

_USED: dict[str, _Syntax] = {}  # by the sha256 of a file's text; of this process
_MOST = 3000  # files that are kept: the package has some hundreds


def _cache() -> Path:
    """Return the file of what was parsed before: every process of a workflow reads the same 200 files.

    It belongs to one version of Python and of this module, on which a digest depends beside the text.
    """
    made_by = sys.version.encode() + Path(__file__).read_bytes()
    return store.user_cache(f"syntax-{hashlib.sha256(made_by).hexdigest()[:16]}.json")


@functools.cache
def _parsed_before() -> dict[str, _Syntax]:
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # not there, no home, or not whole
        found: dict[str, _Syntax] = store.read_json(_cache())
        return found
    return {}


def _remember() -> None:
    """Keep what this process parsed for the next one; where that is not possible it parses again."""
    before = _parsed_before()
    if not _USED.keys() <= before.keys():
        kept = before if len(before) < _MOST else {}
        before |= _USED
        with contextlib.suppress(OSError, RuntimeError):
            store.write_json(kept | _USED, _cache())


# -- files of the package ------------------------------------------------------------------------------


@functools.cache
def _classes() -> dict[str, str]:
    """Class name of every family that the package ships -> its module, without an import of it."""
    from cortseq import models

    found = {}
    for module in models.modules().values():
        path = _path(module) if module.startswith("cortseq.") else None
        for line in path.read_text(encoding="utf-8").splitlines() if path else ():
            if line.startswith("MODEL = "):
                found[line.removeprefix("MODEL = ").strip()] = module
    return found


@functools.cache
def _path(name: str) -> Path | None:
    """Return the file of a cortseq module without importing it, which would bring torch into every run."""
    inside = Path(__file__).parent.joinpath(*name.split(".")[1:])
    return next((p for p in (inside / "__init__.py", inside.with_suffix(".py")) if p.is_file()), None)
