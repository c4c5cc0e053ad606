"""Which change runs which stages again: a finished study is changed in one thing at a time and planned anew.

A row names the stages that run for their own sake. Whatever reads their products follows, and nothing else: the
table of docs/interruption.md is this one. Run as a script, this file plans all changes in one process.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDY = {
    "study": "table",
    "members": 2,
    "horizons": [1, 2],
    "datasets": {
        "real": {
            **{"source": "npz", "path": "real.npz", "counts": "c", "axes": ["trial", "time", "unit"]},
            **{"native_bin_ms": 10, "covariates": {"side": "side"}, "what": "made up", "cite": "nobody"},
        }
    },
    "models": {
        "markov": {"family": "markov", "states": 4},
        "rate": {"family": "rate", "hidden": 4, "epochs": 2},
    },
    "figures": {"sheet": {"rows": [["scores"]], "dataset": "real"}},
}
# A recording that is copied from a mirror; of this study only the roles of its trials are made.
COPIED = {
    "study": "copied",
    "mirrors": ["mirror"],
    "datasets": {"copied": {**STUDY["datasets"]["real"], "path": "copied.npz"}},
    "models": {"flat": {"family": "flat"}},
}
DEALT = "results/copied/splits/copied.json"
RATE = "cortseq.networks.families.rate"


# -- the changes ---------------------------------------------------------------------------------------------


class World:
    """What a change may touch: the study, files of the project, code and the environment; all is undone later."""

    def __init__(self, study: dict, undo: contextlib.ExitStack, patch: pytest.MonkeyPatch):
        self.study, self.undo, self.patch = study, undo, patch
        self.real = study["datasets"].get("real", {})

    def rewrite(self, file: str, content: bytes | str, date: float | None = None) -> None:
        """Replace a file; `date` (s since 1970) is that of the new one."""
        old = Path(f"{file}.old")
        Path(file).rename(old)
        self.undo.callback(old.replace, file)
        Path(file).write_bytes(content.encode() if isinstance(content, str) else content)
        if date is not None:
            os.utime(file, (date, date))

    def append(self, file: str, text: str) -> None:
        self.rewrite(file, Path(file).read_text(encoding="utf-8") + text)

    def code(self, module: str, change: Callable[[str], str]) -> None:
        """Replace the text of a module of the package, for those who read it as text."""
        from cortseq import fingerprint

        before, changed = fingerprint._path, Path(f"{module}.py").absolute()
        changed.write_text(change(before(module).read_text(encoding="utf-8")), encoding="utf-8")
        self.undo.callback(changed.unlink)
        self.patch.setattr(fingerprint, "_path", lambda name: changed if name == module else before(name))

    def version(self, library: str) -> None:
        from cortseq import fingerprint

        before = fingerprint.version
        self.patch.setattr(fingerprint, "version", lambda name: before(name) + "9" * (name == library))


@dataclass(frozen=True)
class Row:
    """A kind of change, the stages that run for their own sake, and some that stay as they are."""

    change: Callable[[World], object]
    again: str
    stays: str = ""
    study: str = "table"


def entry(**keys) -> Callable[[World], object]:
    return lambda world: world.real.update(keys)


def top(**keys) -> Callable[[World], object]:
    return lambda world: world.study.update(keys)


def model(name: str, **keys) -> Callable[[World], object]:
    return lambda world: world.study["models"].setdefault(name, {}).update(keys)


def turned(value):
    """The same mapping, its keys in the other order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(list(value))}
    return value


def with_inner_keys_turned(world: World) -> None:
    world.study["datasets"]["real"] = turned(world.real)
    world.study["models"] = {name: turned(entry) for name, entry in world.study["models"].items()}


def another_recording(seed: int = 1) -> bytes:
    """The bytes of a recording like that of the study."""
    import io

    rng, file = np.random.default_rng(seed), io.BytesIO()
    np.savez(file, c=rng.poisson(1.0, (30, 12, 4)), side=np.arange(30) % 2)
    return file.getvalue()


def function(text: str) -> str:
    return text + "\n\ndef _new():\n    return 1\n"


def words(text: str) -> str:
    """Another docstring, another comment."""
    assert text.startswith('"""')
    return '"""Other words. ' + text[3:] + "\n# a remark\n"


ROWS = {
    # what is no change
    "nothing": Row(lambda world: None, ""),
    "a comment in the study": Row(lambda world: world.study.update({"#": "comment"}), ""),
    "the mirrors of the environment": Row(lambda world: world.patch.setenv("CORTSEQ_MIRRORS", "mirror"), ""),
    "the date of the raw file": Row(lambda world: os.utime("real.npz"), ""),
    "the date of a template": Row(lambda world: os.utime("workflow/report/report.css"), ""),
    "the docstring of a family": Row(lambda world: world.code(RATE, words), ""),
    # the recording
    "another raw file": Row(lambda world: world.rewrite("real.npz", another_recording()), "load", "fetch"),
    "an older raw file": Row(lambda world: world.rewrite("real.npz", another_recording(), 1e9), "load"),
    "a copied file whose mirror has another": Row(
        lambda world: world.rewrite("mirror/copied.npz", another_recording()), "fetch/copy", "", "copied"
    ),
    "a copied file whose mirror is away": Row(
        lambda world: world.study.update(mirrors=[]), "", "fetch load", "copied"
    ),
    "the clock of the raw file": Row(entry(native_bin_ms=20), "load"),
    "the covariates": Row(entry(covariates={}), "load"),
    "the bin width": Row(entry(bin_ms=20), "preprocess", "load"),
    "the window of a trial": Row(entry(max_trials=28), "preprocess", "load"),
    "the selection of units by label": Row(entry(select={"quality": ["good"]}), "preprocess", "load"),
    "the distribution of counts": Row(entry(observation="negative_binomial"), "preprocess", "load"),
    "the selection of units by rate": Row(entry(min_rate_hz=1), "split", "load preprocess"),
    "the number of units": Row(entry(max_units=3), "split", "load preprocess"),
    "whom to cite": Row(entry(cite="somebody"), "report", "load preprocess split fit"),
    # how trials are dealt, and what is asked
    "the seed": Row(top(seed=1), "load"),
    "more folds": Row(top(folds=2), "split"),
    "the order of time": Row(top(split="forward"), "split", "load preprocess"),
    "the share of test trials": Row(top(test_fraction=0.3), "split", "load preprocess"),
    "members": Row(top(members=3), "fit/rate", "fit/markov forecasts/markov split"),
    "burn_in": Row(top(burn_in=1), "score/null score/markov score/rate", "fit"),
    "horizons": Row(
        top(horizons=[1]),
        "forecasts/null forecasts/markov forecasts/rate",
        "fit score compare memory dynamics",
    ),
    "the device": Row(top(device="cpu"), "fit/rate", "fit/markov"),
    "seconds between checkpoints": Row(top(checkpoint_seconds=1.0), "report", "fit"),
    # models
    "a setting of a model": Row(model("rate", epochs=3), "fit/rate", "fit/markov"),
    "a model more": Row(model("psth", family="psth"), "fit/psth", "fit/rate fit/markov"),
    "a model less": Row(
        lambda world: world.study["models"].pop("markov"), "compare quality audit", "fit score"
    ),
    "a dataset more": Row(
        lambda world: world.study["datasets"].update(more={**world.real, "max_units": 3}),
        "load/more",
        "load/real fit/real score/real dynamics/real",
    ),
    # the order of keys
    "the keys of entries in another order": Row(with_inner_keys_turned, "report", "load fit"),
    # code
    "the code of a family": Row(
        lambda world: world.code(RATE, function), "fit/rate", "fit/markov forecasts/markov"
    ),
    "the code of training": Row(
        lambda world: world.code("cortseq.networks.training.gradient", function),
        "fit/rate",
        "fit/markov score/markov forecasts/markov",
    ),
    "the code of a source": Row(lambda world: world.code("cortseq.sources.npz", function), "load", "fetch"),
    "the code of a figure": Row(
        lambda world: world.code("cortseq.figures.scores", function),
        "figures/scores figures/sheet",
        "figures/order compare fit dynamics",
    ),
    "the code of an analysis": Row(
        lambda world: world.code("cortseq.dynamics.lyapunov", function), "dynamics/rate", "fit score compare"
    ),
    "a script of the workflow": Row(
        lambda world: world.append("workflow/scripts/claims.py", "\nX = 1\n"), "claims", "compare"
    ),
    "a template of the report": Row(
        lambda world: world.append("workflow/report/report.html.jinja", "\n"), "report", "claims compare"
    ),
    # versions of libraries
    **{
        f"another version of {name}": Row(lambda world, name=name: world.version(name), "load")
        for name in ("numpy", "scipy", "scikit-learn", "torch", "numba")
    },
    "another version of matplotlib": Row(lambda world: world.version("matplotlib"), ""),
}


# -- planned in one process ----------------------------------------------------------------------------------


def planned(target: str) -> tuple[set[str], set[str]]:
    """Stages of the study of study.yaml that run for their own sake, and all that run; `target`: "" for all."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import RerunTrigger
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    from cortseq.stages import estimate, jobs

    triggers = yaml.safe_load(Path("profiles/default/profile.yaml").read_text())["rerun-triggers"]
    asked = DAGSettings(
        targets={target} if target else set(), rerun_triggers=RerunTrigger.parse_choices_set(triggers)
    )
    with SnakemakeApi(OutputSettings()) as api:
        config = ConfigSettings(configfiles=[Path("study.yaml")])
        flow = api.workflow(ResourceSettings(cores=1), config, snakefile=Path("Snakefile"))
        flow.dag(asked)
        whole = flow._workflow
        whole._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        whole._build_dag()
        needed = [job for job in whole.dag.needrun_jobs() if job.rule.name not in ("all", "conclude")]
    plan = whole.globals["PLAN"]
    left = {str(file) for job in needed for file in job.output}
    stays = estimate.standing(plan, left)
    steps = [
        (step.name.removesuffix("/fold0"), set(step.inputs), set(step.outputs))
        for batch in jobs(plan)
        if not left.isdisjoint(batch.outputs)
        for step in batch.steps
        if step.name not in stays
    ]
    batches = {batch.name for batch in jobs(plan)}
    for job in needed:
        if job.rule.name not in batches:
            name = "/".join([job.rule.name, *(str(v) for v in job.wildcards_dict.values())])
            steps.append((name, set(map(str, job.input)), set(map(str, job.output))))
    coming = set().union(*(made for _, _, made in steps))
    return {name for name, given, _ in steps if given.isdisjoint(coming)}, {name for name, _, _ in steps}


def plan_all() -> dict[str, list[list[str]]]:
    """Stages of every row, planned one after another in the current folder."""
    import copy

    from cortseq import fingerprint

    found = {}
    for name, row in ROWS.items():
        study = copy.deepcopy(STUDY if row.study == "table" else COPIED)
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as undo:
            row.change(World(study, undo, patch))
            remark = study.pop("#", "")
            Path("study.yaml").write_text(f"# {remark}\n" + yaml.safe_dump(study, sort_keys=False))
            fingerprint._read.cache_clear()
            again, every = planned("" if row.study == "table" else DEALT)
            found[name] = [sorted(again), sorted(every)]
    return found


# -- tests ---------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    given = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    given.pop("CORTSEQ_MIRRORS", None)
    return given


def run(folder: Path, study: dict, *targets: str) -> None:
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    command = [BIN / "snakemake", *targets, "--cores", "2", "--configfile", "study.yaml"]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())
    assert answer.returncode == 0, answer.stderr[-3000:]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with both studies made."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "mirror").mkdir()
    for file in ("real.npz", "mirror/copied.npz"):
        (folder / file).write_bytes(another_recording(0))
    run(folder, COPIED, DEALT)
    run(folder, STUDY)
    return folder


@pytest.fixture(scope="module")
def found(finished):
    """What each change runs again."""
    command = [sys.executable, __file__]
    answer = subprocess.run(command, cwd=finished, capture_output=True, text=True, env=environment())
    assert answer.returncode == 0, answer.stderr[-3000:]
    return json.loads(answer.stdout.splitlines()[-1])


def short(name: str) -> str:
    """Name of a stage without its recording, where there is one only, and without digests."""
    parts = [part for part in name.split("/") if part not in ("real", "copied", "copied.npz")]
    return "/".join(part.split("-")[0] for part in parts)


@pytest.mark.parametrize("name", ROWS)
def test_a_change_runs_its_stages_again_and_no_others(found, name):
    again, every = found[name]
    assert set(map(short, again)) == set(ROWS[name].again.split())
    touched = {*every, *map(short, every)}
    for stage in ROWS[name].stays.split():
        assert not [one for one in touched if one == stage or one.startswith(f"{stage}/")]


if __name__ == "__main__":
    print(json.dumps(plan_all()))
