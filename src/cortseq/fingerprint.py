"""A digest of the code a stage uses, so that Snakemake re-runs what changed code touches and no more.

The digest covers the syntax trees, without docstrings, of the named modules and of every cortseq module
they import (function-level imports included): a comment or a docstring re-runs nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path


def fingerprint(*roots: str | Path) -> str:
    """Return hex digest of modules by name ("cortseq.networks.families.rate") or of script files by path."""
    seen: dict[str, str] = {}
    waiting = [str(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name], imported = _read(name)
            waiting += imported
    text = "\n".join(f"{name} {tree}" for name, tree in sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """Return digest of one file's syntax tree, and the cortseq modules it imports."""
    path = Path(name) if name.endswith(".py") else _path(name)
    if path is None:
        raise ModuleNotFoundError(name)
    tree = ast.parse(path.read_text())
    imported = tuple(sorted(_imports(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


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


@functools.cache
def _path(name: str) -> Path | None:
    """Return the file of a cortseq module.

    Nothing is imported to find it: that would bring torch into every run of Snakemake.
    """
    inside = Path(__file__).parent.joinpath(*name.split(".")[1:])
    return next((p for p in (inside / "__init__.py", inside.with_suffix(".py")) if p.is_file()), None)
