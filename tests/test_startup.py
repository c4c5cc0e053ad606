"""Each process imports what it uses and no more, as the modules say that are there in the end."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow/scripts"
TABLES = {"pandas", "pyarrow"}
ARRAYS = {*TABLES, "xarray", "zarr", "scipy"}
COMPILED = {"torch", "numba", "sklearn", "matplotlib", "h5py", "pynwb"}
ENTRY = {"source": "synthetic", "kind": "ring", "trials": 30, "units": 4, "bins": 12}
STUDY = {"study": "s", "datasets": {"ring": ENTRY}, "models": {"flat": {"family": "flat"}}}
STUDY |= {"members": 1, "horizons": []}
NAMES = ("null", "flat")
MODULES = "\nimport sys; print('modules', *sys.modules)"
MAKE = """
import json, sys
from pathlib import Path
from cortseq import steps
given = [steps.Step(**step) for step in json.loads(sys.argv[1])]
print(*steps.make(given, Path(sys.argv[2]), 1, {}))
"""
PLAN = """
import json, sys
from pathlib import Path
from cortseq import stages, study
plan = stages.Plan(study.validate(json.loads(sys.argv[1])), Path(sys.argv[2]))
"""
STEPS = "print(sum(len(batch.steps) for batch in stages.jobs(plan)))"
FITS = f"""
from cortseq.stages.fits import fit, score
made = [make(plan, "ring", name, 0) for name in {NAMES} for make in (fit, score)]
print(json.dumps([step.plain for step in made]))
"""


def said(code: str, *arguments: object, folder: Path | None = None) -> tuple[str, set[str]]:
    """Return what a fresh process prints, and the modules that it has imported in the end."""
    command = [sys.executable, "-c", code + MODULES, *map(str, arguments)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    words, _, names = answer.stdout.rpartition("modules")
    return words.strip(), set(names.split())


def step(script: str, given: dict, made: dict, params: dict, **key: str) -> dict:
    parts = {"script": script, "out": "results/s", "name": "-".join([script, *key.values()])}
    return parts | {"given": given, "made": made, "params": params, "key": key}


def fitted() -> list[dict]:
    """Return the steps from the raw file to the scores of two models without a network."""
    path, (raw, trials, split) = "results/s/", ("raw.zarr.zip", "trials/ring.zarr.zip", "splits/ring.json")
    chosen = {"covariates": {}, "stratify": None, "min_rate_hz": 0.0, "max_rate_hz": None, "max_units": None}
    deal = {"seed": 0, "folds": 1, "test_fraction": 0.2, "valid_fraction": 0.15, "split": "random"}
    dealt = {"entry": chosen, "deal": deal}
    found = [
        step("load", {}, {"file": raw}, {"entry": ENTRY, "seed": 0}),
        step("preprocess", {"raw": raw}, {"trials": path + trials}, {"entry": ENTRY}, dataset="ring"),
        step("split", {"trials": path + trials}, {"split": path + split}, dealt, dataset="ring"),
    ]
    words, _ = said(PLAN + FITS, json.dumps(STUDY), SCRIPTS)
    return found + json.loads(words)


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> tuple[Path, list[dict], set[str]]:
    """Folder of a study up to its scores, the steps of it, and the modules that they imported."""
    folder, made = tmp_path_factory.mktemp("study"), fitted()
    words, names = said(MAKE, json.dumps(made), SCRIPTS, folder=folder)
    assert words.endswith(f"{len(made)} {len(made)}")
    return folder, made, names


def test_help_reads_no_study():
    words, names = said("from cortseq import cli; cli.main(['--help'])")
    assert "Usage: cortseq" in words
    assert not names & {*ARRAYS, *COMPILED, "numpy", "pydantic", "cortseq.study"}


def test_a_study_is_planned_with_its_own_families_and_sources_alone():
    words, names = said(PLAN + STEPS, json.dumps(STUDY), SCRIPTS)
    assert int(words) > 10
    assert not names & (ARRAYS | COMPILED)
    assert {"cortseq.models.flat", "cortseq.sources.synthetic"} <= names
    assert not names & {"cortseq.models.glm", "cortseq.networks.families.lstm", "cortseq.sources.nwb"}


def test_check_of_a_synthetic_study(tmp_path):
    file = tmp_path / "study.yaml"
    rate = {"family": "rate", "hidden": 4, "epochs": 1}
    file.write_text(json.dumps(STUDY | {"models": {"rate": rate}}))
    words, names = said(f"from cortseq import cli; cli.main(['check', {str(file)!r}])")
    assert ": fine; next: cortseq run " in words
    assert not names & (COMPILED | {"zarr", "scipy.stats", "scipy.optimize"})


def test_scripts_import_nothing_heavy_before_they_use_it():
    """What a script needs for one of its tasks, or only where something is not made yet, comes later."""
    trees = [ast.parse(file.read_text()) for file in SCRIPTS.glob("*.py")]
    statements = [n for tree in trees for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    _, names = said("\n".join(map(ast.unparse, statements)))
    assert not names & ((ARRAYS | COMPILED) - TABLES)


def test_models_without_a_network_are_fitted_and_scored_without_torch(scored):
    assert not scored[-1] & COMPILED


def test_a_batch_that_is_made_imports_nothing(scored):
    folder, made, _ = scored
    words, names = said(MAKE, json.dumps(made), SCRIPTS, folder=folder)
    assert words == f"0 {len(made)}"
    assert not names & (ARRAYS | COMPILED | {"pydantic"})


def test_compare(scored):
    tables = ("comparison", "variants", "budget", "sessions", "corners", "together", "timing")
    out = {name: f"results/s/{name}.csv" for name in tables}
    roles = dict(zip(NAMES, ("null", "baseline"), strict=True))
    variants = {name: (name, {}, name, role) for name, role in roles.items()}
    study = {"out": "results/s", "seed": 0, "burn_in": 0, "variants": {"ring": variants}}
    made = [step("compare", {}, out, {"study": study})]
    words, names = said(MAKE, json.dumps(made), SCRIPTS, folder=scored[0])
    assert words.endswith("1 1")
    assert not names & (COMPILED | {"scipy.stats"})


def test_conclude(tmp_path):
    (tmp_path / "failures.csv").write_text("dataset,product,name,fold,why\n")
    made = [step("conclude", {"fallible": [], "failures": "failures.csv"}, {"complete": "complete"}, {})]
    words, names = said(MAKE, json.dumps(made), SCRIPTS, folder=tmp_path)
    assert words == "1 1" and (tmp_path / "complete").is_file()
    assert not names & ((ARRAYS | COMPILED) - TABLES)


@pytest.mark.parametrize(
    ("shell", "said"),
    [("bash", "complete -o default -F _cortseq_completion cortseq"), ("zsh", "#compdef cortseq"), ("fish", "complete --command cortseq")],
)  # fmt: skip
def test_shells_complete_the_command(shell, said):
    asked = {**os.environ, "_CORTSEQ_COMPLETE": f"source_{shell}"}
    run = [sys.executable, "-c", "from cortseq.cli import main; main([])"]
    ran = subprocess.run(run, capture_output=True, text=True, env=asked)
    assert said in ran.stdout


def test_the_command_as_a_module_says_its_version():
    import cortseq

    for asked in (
        ["-m", "cortseq", "--version"],
        ["-c", "from cortseq.cli import main; main(['--version'])"],
    ):
        ran = subprocess.run([sys.executable, *asked], capture_output=True, text=True, check=True)
        assert ran.stdout == f"cortseq {cortseq.__version__}\n"
