"""Names can be found by tab and by a type checker, and nothing heavy is imported for it."""

import ast
import subprocess
import sys
from pathlib import Path

import cortseq
from cortseq import models

ROOT = Path(__file__).parents[1]
# What a user writes, and what a strict type checker knows of it.
SCRIPT = """
import numpy as np

import cortseq
from cortseq import models, recording

counts = np.random.default_rng(0).poisson(1.0, (30, 12, 4))
session = recording.from_counts(counts, bin_width=0.02)
fit = cortseq.models.Rate(hidden=8, epochs=2, leak="learned").fit(session, range(20), range(20, 25))
nats = fit.log_prob(session, trials=range(25, 30))
reveal_type(fit)
reveal_type(nats)
reveal_type(models.LSTM(hidden=4).set_params(hidden=8))
reveal_type(fit.score(session))
reveal_type(fit.to_torch())
reveal_type(fit.to_xarray(session))
result = cortseq.compare(session, {"hmm": [models.HMM(states=2), models.HMM(states=4)]}, members=2)
reveal_type(result.fits["hmm"][0])
reveal_type(cortseq.scoring.bits_per_spike(nats, nats, counts))
reveal_type(fit.plot())
"""
KNOWN = [
    "cortseq.models.fit.Fit",
    "xarray.core.dataarray.DataArray",
    "cortseq.networks.families.lstm.Lstm",
    "float",
    "cortseq.networks.module.Module",
    "xarray.core.dataset.Dataset",
    "cortseq.models.fit.Fit",
    "float",
    "matplotlib.figure.Figure",
]
WRONG = {
    "models.Rate(hiden=8)": 'Unexpected keyword argument "hiden"',
    "models.Rate(hidden='8')": 'incompatible type "str"; expected "int"',
    "models.Lstn()": 'has no attribute "Lstn"',
    "cortseq.compar": 'has no attribute "compar"',
    "models.Rate(leak='fixed')": "incompatible type",
}


def checked(script: str, folder: Path) -> str:
    """What mypy says of a user's script, silent about the package itself."""
    file = folder / "script.py"
    file.write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="]
    environment = {"MYPYPATH": str(ROOT / "src"), "PATH": "", "HOME": str(folder)}
    cache = f"--cache-dir={folder.parent / 'mypy'}"
    ran = subprocess.run(
        [*command, cache, str(file)], capture_output=True, text=True, env=environment, cwd=folder
    )
    return ran.stdout + ran.stderr


def test_a_strict_type_checker_knows_what_a_user_writes(tmp_path):
    said = checked(SCRIPT, tmp_path)
    revealed = [line.split('type is "')[1] for line in said.splitlines() if "Revealed type" in line]
    assert "error" not in said and len(revealed) == len(KNOWN), said
    for found, known in zip(revealed, KNOWN, strict=True):
        assert known in found, (found, known)
    wrong = "import cortseq\nfrom cortseq import models\n\n" + "\n".join(WRONG)
    faults = [line for line in checked(wrong, tmp_path).splitlines() if ": error:" in line]
    assert len(faults) == len(WRONG), faults
    for fault, words in zip(faults, WRONG.values(), strict=True):
        assert words in fault, (fault, words)


def _declared(module: str) -> set[str]:
    """Names that a module binds for type checkers alone."""
    tree = ast.parse((ROOT / "src/cortseq" / module).read_text())
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    imported = {a.asname for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}
    return imported | {n.targets[0].id for n in block.body if isinstance(n, ast.Assign)}


def test_type_checkers_are_told_every_name():
    """A new family gets a line in `models/__init__.py`, so that editors and type checkers know it."""
    declared = _declared("models/__init__.py")
    bound = {bound for _, bound in models._families().values()}
    public = {name for name in dir(models) if name[0].isupper()}
    assert declared - {"Fit", "Model"} == public | bound
    for name in public | bound:
        assert getattr(models, name) is not None
    for short in ("LSTM", "CTW", "HMM"):
        assert getattr(models, short) is models.find(short.lower())
    assert _declared("__init__.py") == set(cortseq._MODULES)


def test_names_are_found_by_tab_without_an_import_of_torch():
    code = """
import sys
import cortseq
names = {"cortseq": dir(cortseq), "models": dir(cortseq.models), "recording": dir(cortseq.recording)}
names |= {"dynamics": dir(cortseq.dynamics), "scoring": dir(cortseq.scoring), "export": dir(cortseq.export)}
cortseq.models.Rate(hidden=4)._repr_html_()
heavy = {"torch", "numba", "matplotlib", "sklearn", "pynwb", "pynapple", "h5py"} & set(sys.modules)
assert not heavy, heavy
assert {"compare", "read", "open", "plot", "fit_together", *cortseq._MODULES} <= set(names["cortseq"])
assert {"LSTM", "Rate", "Estimator", "register", "load"} <= set(names["models"])
assert {"from_pynapple", "to_pynapple", "from_counts"} <= set(names["recording"])
assert {"fixed_points", "lyapunov_spectrum"} <= set(names["dynamics"])
assert {"nwb", "nlb"} <= set(names["export"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
