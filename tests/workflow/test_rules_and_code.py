"""What rules hand to their scripts, and what scripts make of the second fold: nothing of the first."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import yaml

from cortseq import models, splits, stages, store, study
from cortseq import recording as rec
from cortseq.scoring import compare, products
from cortseq.stages.fits import fit
from cortseq.steps import Named

ROOT = Path(__file__).parents[2]
STUDY = {
    "study": "tiny",
    "folds": 2,
    "burn_in": 3,
    "controls": True,
    "calibrate": 19,
    "sequence": ["a", "b"],
    "datasets": {
        "a": {"source": "synthetic", "kind": "ring", "trials": 40, "units": 8, "bins": 12, "part": [0, 0.5]},
        "b": {"source": "synthetic", "kind": "ring", "trials": 40, "units": 8, "bins": 12, "part": [0.5, 1]},
        "c": {"source": "text", "path": "c.txt"},
    },
    "models": {
        "markov": {"family": "markov", "states": 4},
        "rate": {"family": "rate", "hidden": 4, "epochs": 3, "after": "previous"},
    },
}
LIST_LOADS = """
import json
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

with SnakemakeApi(OutputSettings()) as api:
    config = ConfigSettings(configfiles=[Path("study.yaml")])
    flow = api.workflow(ResourceSettings(cores=1), config, snakefile=Path("Snakefile"))
    flow.dag(DAGSettings())
    flow._workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
    flow._workflow._build_dag()
    loads = [job for job in flow._workflow.dag.jobs if job.rule.name == "load"]
    codes = {job.wildcards.dataset: dict(job.params.items())["code"] for job in loads}
    Path("codes.json").write_text(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def plan():
    return stages.Plan(study.validate(STUDY), ROOT / "workflow/scripts")


@pytest.fixture(scope="module")
def planned(plan):
    """All steps of a study of two folds; none is run."""
    return [step for batch in stages.jobs(plan) for step in batch.steps]


def codes(planned, script: str, key: str) -> dict[str, set]:
    found: dict[str, set] = {}
    for step in planned:
        if step.script == script:
            found.setdefault(step.key[key], set()).add(step.params["code"])
    return found


@pytest.mark.parametrize("script", ["fit", "score", "dynamics", "control", "refit"])
def test_the_code_of_a_family_is_in_the_fingerprint_of_its_steps(planned, script):
    """Else a change of the family would run nothing again."""
    found = codes(planned, script, "variant")
    assert all(len(of_variant) == 1 for of_variant in found.values())
    networks_only = script in ("dynamics", "control", "refit")
    assert len(set.union(*found.values())) == len(found) == (1 if networks_only else 3)


def test_every_dissected_network_has_a_control_where_the_study_asks_for_it(planned):
    scripts = [step.script for step in planned]
    assert scripts.count("control") == scripts.count("dynamics") == 3
    assert scripts.count("refit") == 19 * 3
    without = stages.Plan(
        study.validate({**STUDY, "controls": False, "calibrate": 0}), ROOT / "workflow/scripts"
    )
    assert not {"control", "refit"} & {step.script for batch in stages.jobs(without) for step in batch.steps}


def test_controls_and_refits_of_a_moved_cell_begin_where_its_fit_did():
    ring = {"source": "synthetic", "kind": "ring", "bins": 12, "trials": 24}
    shared = {
        "study": "three", "controls": True, "calibrate": 19,
        "datasets": {"s1": ring, "s2": ring, "s3": ring},
        "together": {"all": {"sessions": ["s1", "s2"], "held_out": ["s3"]}},
        "models": {"across": {"family": "rate", "hidden": 4, "across": "all"}},
    }  # fmt: skip
    plan = stages.Plan(study.validate(shared), ROOT / "workflow/scripts")
    steps = [
        step for batch in stages.jobs(plan) for step in batch.steps if step.script in ("control", "refit")
    ]
    assert len(steps) == 3 * 20
    for step in steps:
        start = [plan.path("fits", dataset="s1", variant="across", fold=0)]
        assert step.given["start"] == (start if step.key["dataset"] == "s3" else [])


@pytest.mark.parametrize("task", ["forecasts", "generation"])
def test_the_code_of_a_family_is_in_the_fingerprint_of_its_tasks(planned, task):
    found = codes([step for step in planned if step.key.get("task") == task], "task", "model")
    assert len(set.union(*found.values())) == len(found) >= 2


def test_the_code_of_a_source_is_in_the_fingerprint_of_loading(tmp_path):
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    (tmp_path / "c.txt").write_text("abcabc\n" * 20)
    answer = subprocess.run(
        [sys.executable, "-c", LIST_LOADS], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    found = json.loads((tmp_path / "codes.json").read_text())
    assert found["a"] == found["b"] != found["c"]


def test_scores_are_told_the_burn_in_of_the_study(planned):
    assert {step.params["burn_in"] for step in planned if step.script == "score"} == {3}


def test_a_session_is_learned_from_the_same_fold_of_the_one_before(plan):
    for fold in (0, 1):
        before = [f"results/tiny/fits/a/rate/fold{fold}.safetensors"]
        assert fit(plan, "b", "rate", fold).given["start"] == before
        assert fit(plan, "a", "rate", fold).given["start"] == []
        assert fit(plan, "b", "markov", fold).given["start"] == []


# -- scripts, run here on products of two folds ------------------------------------------------------


@pytest.fixture(scope="module")
def products_of(tmp_path_factory):
    """Trials, a manifest of two folds with other units in each, fits and scores of null and psth."""
    out = tmp_path_factory.mktemp("out") / "results/tiny"
    rng = np.random.default_rng(0)
    recording = rec.from_counts(rng.poisson(rng.gamma(1, 1, (20, 8, 4))), bin_width=0.02)
    folds = [
        {
            "train": [*range(8)],
            "valid": [8, 9, 10],
            "test": [*range(11, 20)],
            "guard": [],
            "units": [0, 1, 2],
        },
        {
            "train": [*range(12, 20)],
            "valid": [9, 10, 11],
            "test": [*range(9)],
            "guard": [],
            "units": [1, 2, 3],
        },
    ]
    store.write(recording, out / "trials/d.zarr.zip")
    manifest = {"folds": folds, "trials_sha256": store.sha256(out / "trials/d.zarr.zip")}
    store.write_json(manifest, out / "splits/d.json")
    return out, recording, manifest


def run(name: str, out: Path, **given) -> None:
    snakemake = SimpleNamespace(threads=1, log=[], config={}, **given)
    try:
        runpy.run_path(str(ROOT / f"workflow/scripts/{name}.py"), {"snakemake": snakemake})
    except SystemExit as end:
        raise AssertionError(f"{name} ended with {end.code}") from end


def inputs(out: Path, **more) -> Named:
    files = {"trials": [str(out / "trials/d.zarr.zip")], "split": [str(out / "splits/d.json")]}
    return Named(files | more)


@pytest.fixture(scope="module")
def scored(products_of):
    """Every variant fitted to and scored on both folds by the scripts."""
    out, _, _ = products_of
    for variant in ("null", "psth"):
        for fold in range(2):
            stem = f"d/{variant}/fold{fold}"
            wildcards = SimpleNamespace(dataset="d", variant=variant, fold=str(fold))
            params = SimpleNamespace(
                spec={"family": variant}, members=1, seed=0, device="cpu", checkpoint=str(out / "c.safetensors")
            )  # fmt: skip
            run(
                "fit", out, input=inputs(out, start=[]), wildcards=wildcards, params=params,
                output=SimpleNamespace(params=str(out / f"fits/{stem}.safetensors")),
            )  # fmt: skip
            output = SimpleNamespace(
                scores=str(out / f"scores/{stem}.zarr.zip"), predictions=str(out / f"predictions/{stem}.zarr.zip")
            )  # fmt: skip
            run(
                "score", out, input=inputs(out, fit=[str(out / f"fits/{stem}.safetensors")]), wildcards=wildcards,
                params=SimpleNamespace(burn_in=2), output=output,
            )  # fmt: skip
    return out


def test_each_fold_is_fitted_to_and_scored_on_its_own_trials(products_of, scored):
    out, recording, manifest = products_of
    for fold, roles in enumerate(manifest["folds"]):
        fit = models.load(out / f"fits/d/psth/fold{fold}.safetensors")
        assert fit.card["learned_from"] == {"train": roles["train"], "valid": roles["valid"]}
        part, _ = splits.fold_of(recording, manifest, fold)
        expected = models.Psth().fit(part, roles["train"], roles["valid"])
        assert np.array_equal(fit.params["rate"], expected.params["rate"])
        score = store.read(out / f"scores/d/psth/fold{fold}.zarr.zip")
        assert score["trial"].values.tolist() == [*roles["train"], *roles["valid"], *roles["test"]]
        assert np.allclose(score["log_prob"], expected.log_prob(part, score["trial"].values).values)
        assert score["unit"].values.tolist() == roles["units"]
        predictions = store.read(out / f"predictions/d/psth/fold{fold}.zarr.zip")
        assert predictions["trial"].values.tolist() == roles["test"]


def test_the_comparison_takes_each_fold_from_its_own_products(products_of, scored):
    out, recording, manifest = products_of
    variants = {"d": {v: (v, {}, v, "null" if v == "null" else "baseline") for v in ("null", "psth")}}
    names = ("comparison", "variants", "budget", "sessions", "corners", "together", "timing")
    output = {name: str(out / f"{name}.csv") for name in names}
    params = SimpleNamespace(study={"out": str(out), "seed": 0, "burn_in": 2, "variants": variants})
    run("compare", out, params=params, output=SimpleNamespace(**output), input=Named({}))
    table = store.read_table(out / "comparison.csv").set_index("model")
    gathered = []
    for name, model in (("null", models.Null()), ("psth", models.Psth())):
        scores, cards = [], []
        for fold, roles in enumerate(manifest["folds"]):
            part, _ = splits.fold_of(recording, manifest, fold)
            fit = model.fit(part, roles["train"], roles["valid"])
            scores.append(products.scores(fit, part, roles, 2))
            cards.append(fit.card)
        gathered.append(compare.gather(name, name, {}, cards, scores, 2))
    expected = compare.table("d", recording, manifest["folds"], gathered, 2, 0).rows[1]
    for column in ("value", "value_cold", "low", "high", "n_events", "trials", "mean_rate", "unit_mean"):
        assert table.loc["psth", column] == pytest.approx(expected[column], rel=1e-7), column
    timing = store.read_table(out / "timing.csv")
    assert timing.query("variant == 'psth'")["fold"].tolist() == [0, 1]


def test_forecasts_are_of_the_test_trials_of_their_fold(products_of, scored):
    out, _, manifest = products_of
    for fold, roles in enumerate(manifest["folds"]):
        study = {
            "burn_in": 2,
            "forecast_trials": 5,
            "horizons": [1, 2],
            "samples": 8,
            "seed": 0,
            "samples_at_most": 16,
        }
        given = inputs(
            out,
            null=str(out / f"scores/d/null/fold{fold}.zarr.zip"),
            scores=[str(out / f"scores/d/psth/fold{fold}.zarr.zip")],
            fits=[str(out / f"fits/d/psth/fold{fold}.safetensors")],
        )
        target = out / f"forecasts/d/psth/fold{fold}.zarr.zip"
        run(
            "task", out, input=given, wildcards=SimpleNamespace(task="forecasts", fold=str(fold)),
            params=SimpleNamespace(variants=["psth"], study=study), output=[str(target)],
        )  # fmt: skip
        found = store.read(target)
        assert len(found["trial"]) == 5 and set(found["trial"].values.tolist()) <= set(roles["test"])


def test_dynamics_stand_beside_their_controls(products_of, monkeypatch):
    """The fit, the network before learning and the one fitted to shuffled bins; a failed control is left out."""
    from cortseq.dynamics import laboratory
    from cortseq.dynamics.laboratory import open_loop

    # of all analyses one
    monkeypatch.setattr(laboratory, "NUMBERS", (open_loop.dimension,))
    monkeypatch.setattr(laboratory.examine, "__defaults__", ("", 0, print, (open_loop.dimension,)))
    bare = xr.Dataset(attrs={"track": "counts", "bin_width": 0.02})
    monkeypatch.setattr(laboratory.analyse, "dissect_fit", lambda *_: bare.copy())
    out, recording, manifest = products_of
    model = models.Rate(hidden=3, epochs=10, learning_rate=0.05)
    trials, roles = splits.fold_of(recording, manifest, 0)
    fit = model.fit(trials, roles["train"], roles["valid"], members=3)
    fit.save(out / "fits/d/rate/fold0.safetensors")
    shared = {"seed": 0, "label": ""}
    control, given = out / "controls/d/rate.zarr.zip", inputs(out, start=[])
    params = SimpleNamespace(spec=model.model_dump(mode="json"), members=3, device="cpu", **shared)
    where = SimpleNamespace(dataset="d", variant="rate", fold="0")
    run("control", out, input=given, output=[str(control)], params=params, wildcards=where)
    tables = {}
    for name in ("with", "without"):
        beside = [str(control)]
        if name == "without":
            beside = [str(out / "failed.zarr.zip")]
            store.write_failure("no member has a finite loss", beside[0])
        fits = [str(out / "fits/d/rate/fold0.safetensors")]
        output = Named({"product": str(out / "dynamics.zarr.zip"), "table": str(out / f"{name}.csv")})
        more = inputs(out, fit=fits, shuffled=beside, refits=[])
        run("dynamics", out, input=more, output=output, params=SimpleNamespace(**shared), wildcards=where)
        tables[name] = store.read_table(output.table).set_index("quantity")
    line = tables["with"].loc["participation ratio"]
    assert line["shuffled"] == pytest.approx(float(store.read(control)["participation_ratio"].mean()))
    assert len({line["value"], line["untrained"], line["shuffled"]}) == 3
    assert tables["without"]["shuffled"].isna().all() and tables["without"]["untrained"].notna().any()


def test_smoothers_are_fitted_to_every_fold(products_of, monkeypatch):
    import pandas as pd

    from cortseq.scoring import cosmoothing

    seen = []

    def table(recording, roles, members, seed, progress):
        seen.append((recording["unit"].values.tolist(), roles["test"]))
        return pd.DataFrame({"smoother": ["null"], "value": [0.0]})

    monkeypatch.setattr(cosmoothing, "table", table)
    out, _, manifest = products_of
    target = out / "cosmoothing/d.csv"
    params = SimpleNamespace(study={"folds": 2, "members": 1, "seed": 0})
    run("cosmooth", out, input=inputs(out), params=params, output=[str(target)])
    assert seen == [(fold["units"], fold["test"]) for fold in manifest["folds"]]
    assert store.read_table(target)["fold"].tolist() == [0, 1]
