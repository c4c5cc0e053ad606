"""The shape of the package, read from its syntax trees: imports run downwards, and nothing grows unseen.

Nothing of cortseq is imported here. Numbers are upper bounds: lower them when the code gets smaller.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import yaml

from cortseq.observations import TRACKS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/cortseq"

# From the roof down. A room imports from its own floor and from those below it; rooms of one floor make no loop.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"running", "differing", "comparing", "plotting"},
    {"watching"},
    {"study"},
    {"sessions"},
    {"report", "inspecting", "checking", "plans", "stages"},
    {"proposing", "pairing", "outline", "reading"},
    {"textbook", "figures", "verdicts", "export"},
    {"scoring", "dynamics"},
    {"preprocess", "splits", "fetch", "signs"},
    {"sources"},
    {"networks"},
    {"costs"},
    {"models", "fingerprint"},
    {"theory", "processes"},
    {
        "store", "recording", "data", "scaling", "flow", "traced", "matrices", "timing", "checks", "binning",
        "numbers", "plugins", "references", "notebook", "products", "entries", "yamlfile", "download", "jobs", "leases", "steps", "remembering",
        "locks", "svg", "cortseq",
    },
    {"observations"},
    {"errors", "metrics", "memory", "streamed", "compiled", "_lazy"},
]  # fmt: skip

# Circles that remain, each as the set of its files: to be emptied.
CIRCLES: list[set[str]] = []


@cache
def trees() -> dict[str, ast.Module]:
    """Module name without `cortseq.` -> its syntax tree."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "cortseq"
        found[name] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def targets(node: ast.AST) -> Iterable[str]:
    """Modules of cortseq that one statement imports, `lazy("...")` included."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cortseq":
        for alias in node.names:
            inner = short(f"{node.module}.{alias.name}")
            yield inner if inner in trees() else short(str(node.module))
    elif isinstance(node, ast.Import):
        yield from (short(alias.name) for alias in node.names if alias.name.split(".")[0] == "cortseq")
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy":
        yield from (short(a.value) for a in node.args if isinstance(a, ast.Constant))


def short(name: str) -> str:
    return name.removeprefix("cortseq.")


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules it imports, inside functions too; those for type checkers alone are left out."""
    found = {}
    for name, tree in trees().items():
        typed = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for statement in node.body
            for inner in ast.walk(statement)
        }
        nodes = [node for node in ast.walk(tree) if id(node) not in typed]
        found[name] = {t for node in nodes for t in targets(node) if t in trees()} - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of more than one node of which each reaches each other."""
    reach = {node: set(out) for node, out in graph.items()}
    for middle in graph:
        for out in reach.values():
            if middle in out:
                out |= reach[middle]
    knots = [frozenset(m for m in reach[n] if n in reach[m]) for n in reach if n in reach[n]]
    return [set(knot) for knot in dict.fromkeys(knots)]


def room(name: str) -> str:
    return name.split(".")[0]


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_files_import_each_other_in_no_other_circle():
    new = [circle for circle in circles(imports()) if not any(circle <= known for known in CIRCLES)]
    assert not new, new


def test_rooms_make_no_loop():
    graph: dict[str, set[str]] = {}
    for name, out in imports().items():
        graph.setdefault(room(name), set()).update(room(t) for t in out)
    for name in graph:
        graph[name].discard(name)
    assert not circles(graph)


def test_imports_run_downwards():
    floor = {name: height for height, names in enumerate(reversed(FLOORS)) for name in names}
    assert {room(name) for name in trees()} <= set(floor), "a new room needs a floor"
    upwards = [
        f"{name} -> {target}"
        for name, out in imports().items()
        if name != "cortseq"  # the package itself hands out its rooms by name
        for target in out
        if floor[room(target)] > floor[room(name)]
    ]
    assert not upwards, upwards


# -- sizes -------------------------------------------------------------------------------------------


def length(node) -> int:
    """Lines of a class or function without its own docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return node.end_lineno - node.lineno + 1 - docstring


def nodes(kind) -> list:
    return [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, kind)]


@cache
def sizes() -> dict[str, int]:
    functions = nodes((ast.FunctionDef, ast.AsyncFunctionDef))
    compared = [
        node
        for node in nodes(ast.Compare)
        if any(isinstance(x, ast.Constant) and x.value in TRACKS for side in [node.left, *node.comparators] for x in ast.walk(side))
    ]  # fmt: skip
    return {
        "lines of the largest module": max(
            len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")
        ),
        "lines of the largest class": max(map(length, nodes(ast.ClassDef))),
        "functions over 45 lines": sum(length(f) > 45 for f in functions),
        "comparisons with the name of a track": len(compared),
        "places that ruff does not format": sum(
            file.read_text(encoding="utf-8").count("# fmt: skip") for file in PACKAGE.rglob("*.py")
        ),
    }


BOUNDS = {
    "lines of the largest module": 400,
    "lines of the largest class": 200,
    "functions over 45 lines": 6,
    "comparisons with the name of a track": 14,
    "places that ruff does not format": 2,  # tables of data
}


@pytest.mark.parametrize("what", BOUNDS)
def test_nothing_grows(what):
    assert sizes()[what] <= BOUNDS[what]


# Errors of `mypy --strict` that remain; the plain run of `make test` has none. Decorators of the compiler have no
# types.
STRICT = 138
# Rooms and modules where none remains.
CLEAN = ("data", "flow", "networks", "observations", "preprocess", "signs", "sources")


@pytest.mark.slow
def test_strict_types_do_not_get_worse():
    command = [sys.executable, "-m", "mypy", "--strict", "--allow-untyped-decorators", "src/cortseq"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    found = re.search(r"Found (\d+) errors", said)
    assert found or "Success" in said, said[-2000:]
    assert found is None or int(found[1]) <= STRICT
    in_clean = re.compile(rf"src/cortseq/({'|'.join(CLEAN)})[/.].* error: ")
    assert not [line for line in said.splitlines() if in_clean.match(line)]


# -- shapes in docstrings ------------------------------------------------------------------------------

ARRAYS = re.compile(r"ndarray|Tensor|ArrayLike|Array\b")
# "(hidden,)", "(trial, time)", "(...)", or the word itself, as in "of any shape".
SHAPE = re.compile(r"\([^()]*\w+,\)|\([\w.+* -]+(, [\w.+* |-]+)+\)|\(\.\.\.[^)]*\)|shape")


def shapeless(tree: ast.Module | ast.ClassDef, within: str = "") -> Iterable[str]:
    """Public functions and methods that take or return arrays, and whose docstring gives no shape."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from shapeless(node, f"{node.name}.")
            continue
        kinds = [a.annotation for a in node.args.args + node.args.kwonlyargs] + [node.returns]
        if any(ARRAYS.search(ast.unparse(kind)) for kind in kinds if kind):
            if not SHAPE.search(ast.get_docstring(node) or ""):
                yield f"{within}{node.name}"


def test_a_missing_shape_is_found():
    source = 'class A:\n    def f(self, y: np.ndarray):\n        """{} of y."""\n'
    assert list(shapeless(ast.parse(source.format("Mean (over time)")))) == ["A.f"]
    assert not list(shapeless(ast.parse(source.format("Mean (trial, time)"))))
    assert not list(shapeless(ast.parse(source.format("Mean (unit,)"))))


def test_public_functions_with_arrays_give_shapes():
    found = [f"{name}: {function}" for name, tree in trees().items() for function in shapeless(tree)]
    assert not found, found


# -- one place ---------------------------------------------------------------------------------------

# What a density is made of. Outside `observations` only its compiled form may have it, and counting subsets.
DENSITIES = {"gammaln", "lgamma", "log_softmax", "PoissonNLLLoss", "poisson_nll_loss"}
NO_LIKELIHOOD = {
    "compiled.conway_maxwell": "sums of a distribution in `observations`",
    "networks.training.kernels.heads": "losses of distributions in `observations`, compiled",
    "dynamics.fixed_points": "how many subsets of the starts miss a fixed point",
}


def test_only_observations_write_a_likelihood():
    used = {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if getattr(node, "attr", getattr(node, "id", "")) in DENSITIES and room(name) != "observations"
    }
    assert used == set(NO_LIKELIHOOD)


def test_the_version_is_said_once():
    """`cortseq.__version__`: the package's metadata reads it, the citation repeats it."""
    (version,) = [
        node.value.value
        for node in trees()["cortseq"].body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"] and "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "cortseq.__version__"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
