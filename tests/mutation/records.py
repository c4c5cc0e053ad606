"""A fault as data, and the one place of the source that it belongs to.

A fault names no file: files move. It names the class or function that contains it ("Markov.learn", "holm"), and the
place is found by searching all of `src/cortseq` and `workflow`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One wrong edit.

    breaks : what it breaks, one sentence. inside : qualified name of the function, class or assigned name that
    contains it; in the workflow "rule fit" for a rule, "script fit.py" for a script. old, new : the text before and
    after. tests : the nearest tests, file names, each optionally followed by " -k EXPRESSION".
    """

    breaks: str
    inside: str
    old: str
    new: str
    tests: tuple[str, ...]

    def key(self) -> str:
        """A digest of the fault: results of a fault that was edited since are not used."""
        return sha256("\0".join([self.breaks, self.inside, self.old, self.new]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Place:
    """Where a fault applies: a file, and the position of `old` in its text."""

    path: Path
    at: int


class NoSinglePlace(Exception):
    """A fault applies to no place of the source, or to more than one."""


def place(fault: Fault, root: Path) -> Place:
    """The single place of a fault in the project at `root`; raises NoSinglePlace."""
    found = [
        Place(path, start + at)
        for path, start, text in _bodies(root.resolve()).get(fault.inside, [])
        for at in _occurrences(fault.old, text)
    ]
    found = sorted(set(found), key=lambda p: (str(p.path), p.at))
    if len(found) != 1:
        where = ", ".join(f"{p.path.relative_to(root.resolve())}:{p.at}" for p in found) or "nowhere"
        raise NoSinglePlace(f"{fault.breaks!r}: {fault.old!r} inside {fault.inside!r} is at {where}")
    return found[0]


def patched(fault: Fault, where: Place) -> str:
    """The text of the file with the fault in it."""
    text = where.path.read_text()
    return text[: where.at] + fault.new + text[where.at + len(fault.old) :]


def changes_code(fault: Fault, where: Place) -> bool:
    """Whether the fault changes what the file does: its syntax tree, or its text where it is no Python."""
    before, after = where.path.read_text(), patched(fault, where)
    if where.path.suffix == ".py":
        return _tree(before) != ast.dump(ast.parse(after))
    return before.split() != after.split()


@cache
def _tree(text: str) -> str:
    return ast.dump(ast.parse(text))


def _occurrences(old: str, text: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(old), text)]


Body = tuple[Path, int, str]


@cache
def _bodies(root: Path) -> dict[str, list[Body]]:
    """Everything that may contain a fault, by its name: file, position and text."""
    found: dict[str, list[Body]] = {}

    def add(name: str, path: Path, start: int, text: str) -> None:
        found.setdefault(name, []).append((path, start, text))

    for path in sorted((root / "src" / "cortseq").rglob("*.py")):
        text = path.read_text()
        lines = [0]
        for line in text.encode().splitlines(keepends=True):
            lines.append(lines[-1] + len(line.decode()))
        for name, node in _named(ast.parse(text), ""):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            start, stop = lines[first - 1], lines[node.end_lineno]
            add(name, path, start, text[start:stop])
    for path in sorted((root / "workflow").rglob("*.py")):
        add(f"script {path.name}", path, 0, path.read_text())
    for path in sorted([*(root / "workflow").rglob("*.smk"), root / "workflow" / "Snakefile"]):
        text = path.read_text()
        heads = [m for m in re.finditer(r"^(?:(rule \w+):|def (\w+)\(|(\w+) = )", text, re.MULTILINE)]
        ends = [m.start() for m in re.finditer(r"^\S", text, re.MULTILINE)] + [len(text)]
        for head in heads:
            stop = next(e for e in ends if e > head.start() and text[e : e + 1] not in (")", "]", "}"))
            name = head[1] or head[2] or head[3]
            add(name, path, head.start(), text[head.start() : stop])
    return found


def _named(tree: ast.AST, prefix: str):
    """(qualified name, node) of every function, class and assigned name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            yield from _named(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not prefix.count("."):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(part, ast.Name):
                        yield prefix + part.id, node
        elif isinstance(node, ast.If | ast.With | ast.Try):
            yield from _named(node, prefix)
