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
import functools
import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cortseq.observations import registry

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


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
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = _imports(tree) | _families(tree)
    if "cortseq.observations" in imported:
        imported |= set(registry.modules().values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(imported))


def _imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cortseq"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if _path(inner) else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("cortseq.")}
    return {name for name in found if name != "cortseq" and _path(name)}


def _families(tree: ast.AST) -> set[str]:
    """Modules of the families that a file takes from the package by class name, as in `models.Rate`."""
    taken = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "models"
    }
    return {module for name, module in _classes().items() if name in taken}


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
