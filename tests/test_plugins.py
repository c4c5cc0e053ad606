"""Own models and sources: by call, by an entry point of a package, by a file; in studies, in parallel jobs, and loaded again."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import yaml

from cortseq import cli, models, plugins, sources, store, study
from cortseq.errors import CortseqError
from cortseq.fingerprint import _read, fingerprint
from cortseq.models.null import Null
from cortseq.sources.base import Source

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

# One file with a cell and a source, as a user would write it.
PLUGIN = '''
import json
from typing import Literal

import numpy as np
import torch
import xarray as xr

import cortseq.models
import cortseq.sources
from cortseq.networks.recurrent import Recurrent
from cortseq.sources.base import Source


@cortseq.models.register
class Plain(Recurrent):
    """h' = tanh(W h + U x + b)."""

    family: Literal["plain"] = "plain"

    def start_parameters(self, n_in, bin_width, rng):
        n = self.hidden
        return {
            "recurrent": rng.normal(size=(n, n)) * 0.9 / np.sqrt(n),
            "input_weight": rng.normal(size=(n, n_in)) / np.sqrt(n_in),
            "bias": np.zeros(n),
            "start": np.zeros(n),
        }

    def start(self, q):
        return (torch.tanh(q["start"]),)

    def step(self, q, state, drive):
        return (torch.tanh(state[0] @ q["recurrent"].mT + drive),)


class Json(Source):
    """{"spikes": [[trial, unit, seconds], ...], "trials": n, "units": n}"""

    suffixes = (".json",)
    source: Literal["json"] = "json"

    @property
    def track(self):
        return "counts"

    def load(self, file, seed):
        content = json.loads(file.read_text())
        trial, unit, time = (np.array(column) for column in zip(*content["spikes"]))
        return xr.Dataset(
            {
                "event_time": ("event", time.astype(float)),
                "event_unit": ("event", unit.astype(int)),
                "event_trial": ("event", trial.astype(int)),
            },
            coords={"unit": np.arange(content["units"]), "trial": np.arange(content["trials"])},
            attrs={"form": "events"},
        )

    @classmethod
    def inspect(cls, file):
        return [f"spikes: {len(json.loads(file.read_text())['spikes'])}"]


cortseq.sources.register(Json)
'''


def spikes(file: Path, trials=30, units=4) -> None:
    rng = np.random.default_rng(0)
    rows = [(t, u, x) for t in range(trials) for u in range(units) for x in rng.uniform(0, 0.4, 6)]
    file.write_text(
        json.dumps({"spikes": [list(map(float, r)) for r in rows], "trials": trials, "units": units})
    )


@pytest.fixture
def clean(monkeypatch):
    """Registries as they are without plug-ins, before and after the test."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(models._outside, "_classes", {})
    monkeypatch.setattr(sources._outside, "_classes", {})
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()


@pytest.fixture
def plugin(tmp_path, clean):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


def mine(name: str):
    class Mine(Null):
        family: Literal[name] = name

    return Mine


# -- registering -------------------------------------------------------------------------------------


def test_a_registered_family_is_a_family(clean, counts, tmp_path):
    own = models.register(mine("mine"))
    assert models.registry()["mine"] is own and models.Mine is own
    plan = study.validate(
        {"datasets": {"r": {"source": "synthetic", "kind": "ring"}}, "models": {"m": {"family": "mine"}}}
    )
    assert type(plan.variants("counts")["m"].model) is own
    own().fit(counts, range(20), range(20, 26)).save(tmp_path / "fit")
    assert type(models.load(tmp_path / "fit").model) is own
    models._outside.forget("mine")
    with pytest.raises(CortseqError, match=r"fit.safetensors: family: .*'mine'.*cortseq.models.register"):
        models.load(tmp_path / "fit")
    with pytest.raises(CortseqError, match="mine"):
        study.validate(
            {"datasets": {"r": {"source": "synthetic", "kind": "ring"}}, "models": {"m": {"family": "mine"}}}
        )


def test_a_taken_name_is_refused(clean):
    with pytest.raises(CortseqError, match=r"belongs to cortseq \(cortseq.models.null\).*'null'"):
        models.register(mine("null"))
    models.register(Null)  # it is that class already
    first = models.register(mine("mine"))
    models.register(mine("mine"))  # the same class defined again, as in a notebook

    class Another(first):
        pass

    with pytest.raises(CortseqError, match=r"belongs to .*Mine.*choose another `family`"):
        models.register(Another)


@pytest.mark.parametrize("wrong", [int, 3, Source])
def test_what_is_no_model_is_refused(clean, wrong):
    with pytest.raises(CortseqError, match=r"cortseq.models.base.Model"):
        models.register(wrong)


def test_a_class_without_a_name_is_refused(clean):
    class Nameless(Source):
        pass

    with pytest.raises(CortseqError, match=r"no name.*source: Literal"):
        sources.register(Nameless)
    with pytest.raises(CortseqError, match="no name"):
        models.register(mine("Not a name"))


@pytest.mark.parametrize("kind", [models, sources])
def test_a_file_of_the_package_with_another_name_is_refused(kind, monkeypatch):
    inside = kind._outside.built_in()
    monkeypatch.setattr(kind._outside, "built_in", lambda: {**inside, "other": next(iter(inside.values()))})
    with pytest.raises(CortseqError, match=r"the file is called 'other'.*give both one name"):
        kind.registry()


def test_entry_points_of_installed_packages(clean, monkeypatch):
    own = mine("packaged")
    real, point = metadata.entry_points, metadata.EntryPoint("packaged", "somewhere:Mine", "cortseq.models")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: own)
    monkeypatch.setattr(
        metadata, "entry_points", lambda **k: [point] if k["group"] == "cortseq.models" else real(**k)
    )
    assert models.registry()["packaged"] is own
    assert models.modules()["packaged"] == str(Path(__file__).resolve())

    def broken(self):
        raise ImportError("no module named torch_extra")

    plugins._entry_points.cache_clear()
    monkeypatch.setattr(metadata.EntryPoint, "load", broken)
    with pytest.raises(CortseqError, match=r"entry point cortseq.models: .*torch_extra.*somewhere:Mine"):
        models.registry()


# -- files -------------------------------------------------------------------------------------------


def test_a_file_on_the_command_line(plugin, tmp_path, capsys):
    spikes(tmp_path / "session.json")
    assert cli.main(["inspect", str(tmp_path / "session.json"), "--plugin", str(plugin)]) == 0
    summary, entry = capsys.readouterr().out.splitlines()[-2:]
    assert summary == "spikes: 720" and entry.startswith("no entry fits: ")  # this source proposes none
    assert os.environ[plugins.VARIABLE] == str(plugin)
    assert models.modules()["plain"] == sources.modules()["json"] == str(plugin)
    entry = {"source": "json", "path": str(tmp_path / "session.json"), "window_ms": [0, 400]}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({"datasets": {"mine": entry}, "models": {"p": {"family": "plain"}}}))
    assert cli.main(["check", str(file), "--plugin", str(plugin)]) == 0
    assert "plain" in str(study.schema())


def test_a_file_may_bind_model_as_files_inside_do(clean, tmp_path):
    file = tmp_path / "null2.py"
    file.write_text(
        "from typing import Literal\nfrom cortseq.models.null import Null\n\n"
        'class Null2(Null):\n    family: Literal["null2"] = "null2"\n\nMODEL = Null2\n'
    )
    plugins.add(file)
    assert models.registry()["null2"].__name__ == "Null2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such plug-in"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1\n", "registers nothing"),
    ],
)
def test_a_faulty_file_is_one_line(text, said, clean, tmp_path, capsys):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text)
    assert cli.main(["schema", "--plugin", str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error and str(file) in error and error.count("\n") == 1
    assert not os.environ[plugins.VARIABLE]


def test_the_fingerprint_follows_the_code_of_a_plugin(plugin):
    plugins.add(plugin)
    before = fingerprint(models.modules()["plain"])
    plugin.write_text(PLUGIN.replace("torch.tanh(state[0]", "torch.relu(state[0]"))
    _read.cache_clear()
    assert fingerprint(models.modules()["plain"]) != before
    plugin.write_text(PLUGIN + "\n# a comment\n")
    _read.cache_clear()
    assert fingerprint(models.modules()["plain"]) == before


# -- the workflow ------------------------------------------------------------------------------------


def test_own_cell_and_source_in_a_study_with_parallel_jobs(plugin, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("Snakefile", "workflow", "profiles"):
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / name)
    spikes(folder / "session.json")
    content = {
        "study": "own",
        "members": 2,
        "horizons": [],
        "datasets": {"mine": {"source": "json", "path": "session.json", "window_ms": [0, 400]}},
        "models": {"a": {"family": "plain", "hidden": [3, 4], "epochs": 2}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    # two fits, which run at the same time
    targets = [f"results/own/fits/mine/a_hidden{n}/fold0.safetensors" for n in (3, 4)]
    targets.append("results/own/splits/mine.json")
    command = [BIN / "snakemake", *targets, "--cores", "2", "--configfile", "study.yaml"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", plugins.VARIABLE: str(plugin)}

    def run(*more, **changed):
        return subprocess.run(
            [*command[:4], *more, *command[4:]], cwd=folder, capture_output=True, text=True,
            env={**environment, **changed},
        )  # fmt: skip

    answer = run()
    assert answer.returncode == 0, answer.stderr[-3000:]
    plugins.add(plugin)
    fit = models.load(folder / targets[0])
    assert (fit.model.family, fit.card["members"]) == ("plain", 2)
    recording = store.read(folder / "results/own/trials/mine.zarr.zip")
    assert np.isfinite(fit.log_prob(recording).values).all()
    # other code of the plug-in fits again; without the plug-in the family is unknown
    idle = run("--dry-run")
    assert "Nothing to be done" in idle.stdout + idle.stderr
    plugin.write_text(PLUGIN.replace("torch.tanh(state[0]", "torch.sin(state[0]"))
    again = run("--dry-run")
    assert "fits/mine/a_hidden3/fold0" in again.stdout + again.stderr
    refused = run(**{plugins.VARIABLE: ""})
    assert refused.returncode != 0 and "plain" in refused.stderr + refused.stdout
