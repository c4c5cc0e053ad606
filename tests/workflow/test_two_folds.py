"""A study of two folds, two variants, a burn-in and a sequence: its numbers from the raw products.

Every number of the tables is computed again here with numpy, from trials, manifests, fits and scores.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cortseq import figures, models, splits, store
from cortseq.products import Facts
from cortseq.products import Products as Finished
from cortseq.scoring import generation

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
BURN_IN, FOLDS, SESSIONS = 2, (0, 1), ("early", "late")
VARIANTS = {
    "null": ["null"],
    "markov": ["markov"],
    "net": ["net_hidden2", "net_hidden5"],
}
RING = {"source": "synthetic", "kind": "ring", "units": 5, "bins": 9}
STUDY = {
    "study": "twofold",
    "seed": 6,
    "folds": 2,
    "members": 2,
    "burn_in": BURN_IN,
    "valid_fraction": 0.2,
    "horizons": [1, 2],
    "samples": 4,
    "forecast_trials": 3,
    "sequence": list(SESSIONS),
    "datasets": {
        "early": {**RING, "trials": 24},
        "late": {**RING, "trials": 22, "base_hz": 9.0, "peak_hz": 90.0},
    },
    "models": {
        "markov": {"family": "markov", "states": 3},
        "net": {"family": "rate", "hidden": [2, 5], "epochs": 4, "after": "previous"},
    },
}
OUT = Path("results/twofold")
# of the tasks beside the next bin only what can be wrong: the second fold
TARGETS = [
    "comparison.csv",
    "forgetting/net_hidden2.csv",
    "forecasts/early/net/fold1.zarr.zip",
    "memory/early/net/fold1.zarr.zip",
    "generation/early/net/fold1.csv",
]


def figure(name: str, out: Path, session: str) -> pd.DataFrame:
    """The table of a figure of one recording, drawn from the products of the study."""
    table = store.read_table(out / "variants.csv")
    mine = table[table["dataset"] == session]
    facts = Facts(session, "counts", 2, tuple(mine["variant"]), roles=frozenset(mine["role"]))
    drawn = figures.registry()[name]
    return drawn.draw(**drawn.read(Finished.below(str(out), drawn.needs, facts)))[1]


class Products:
    """The finished study, read file by file."""

    def __init__(self, out: Path):
        self.out = out
        self.comparison = self.table("comparison.csv").set_index(["dataset", "model"])
        self.variants = self.table("variants.csv").set_index(["dataset", "variant"])
        self.trials = {s: store.read(out / f"trials/{s}.zarr.zip") for s in SESSIONS}
        self.manifests = {s: store.read_json(out / f"splits/{s}.json") for s in SESSIONS}
        keys = [(s, v, f) for s in SESSIONS for model in VARIANTS.values() for v in model for f in FOLDS]
        self.fits = {key: models.load(out / self.stem("fits", *key, "safetensors")) for key in keys}
        self.scores = {key: store.read(out / self.stem("scores", *key, "zarr.zip")) for key in keys}

    @staticmethod
    def stem(stage: str, session: str, variant: str, fold: int, suffix: str) -> str:
        return f"{stage}/{session}/{variant}/fold{fold}.{suffix}"

    def table(self, name: str) -> pd.DataFrame:
        return store.read_table(self.out / name)

    def late(
        self, session: str, variant: str, fold: int, role: str = "test", name: str = "log_prob"
    ) -> np.ndarray:
        """Sums (member, trial) over the bins after the burn-in."""
        score = self.scores[session, variant, fold]
        return np.nansum(score[name].values[..., score["role"].values == role, BURN_IN:], -1)

    def best(self, session: str, names: list[str], fold: int, role: str = "valid") -> str:
        return max(names, key=lambda v: self.late(session, v, fold, role).mean(0).sum())

    def chosen(self, session: str, model: str) -> list[str]:
        """The variant of each fold that is best on its validation trials."""
        return [self.best(session, VARIANTS[model], fold) for fold in FOLDS]

    def sums(self, session: str, chosen: list[str], name: str = "log_prob", role: str = "test") -> np.ndarray:
        """Of the chosen variants, folds side by side."""
        return np.concatenate([self.late(session, v, f, role, name) for f, v in enumerate(chosen)], -1)


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twofold")
    for name in ("Snakefile", "workflow"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    targets = [str(OUT / target) for target in TARGETS]
    command = [BIN / "snakemake", *targets, "--cores", "2", "--configfile", "study.yaml"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("CORTSEQ_MIRRORS", None)
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-3000:]
    return Products(folder / OUT)


def test_every_trial_is_tested_in_one_fold(products):
    for session in SESSIONS:
        folds = products.manifests[session]["folds"]
        assert len(folds) == 2
        tested = sorted(folds[0]["test"] + folds[1]["test"])
        assert tested == list(range(products.trials[session].sizes["trial"]))
        for fold in folds:
            roles = [set(fold[role]) for role in ("train", "valid", "test")]
            assert not (roles[0] & roles[1] or roles[0] & roles[2] or roles[1] & roles[2])


def test_every_fold_has_a_fit_and_scores_of_its_own(products):
    """Log-probabilities again from the saved fit and the trials of that fold."""
    digests = {}
    for (session, variant, fold), score in products.scores.items():
        manifest, fit = products.manifests[session], products.fits[session, variant, fold]
        recording, roles = splits.fold_of(products.trials[session], manifest, fold)
        assert fit.card["learned_from"] == {role: roles[role] for role in ("train", "valid")}
        assert fit.card["variant"] == variant
        for role in ("train", "valid", "test"):
            trials = score["trial"].values[score["role"].values == role]
            assert sorted(trials) == sorted(roles[role])
        again = fit.log_prob(recording, score["trial"].values).values
        assert np.allclose(again, score["log_prob"].values, equal_nan=True)
        assert np.array_equal(recording["counts"].values[score["trial"].values].sum(-1), score["n_events"])
        assert score.attrs["burn_in"] == BURN_IN
        digests[session, variant, fold] = fit.digest()
    assert len(set(digests.values())) == len(digests)


def test_predictions_are_of_the_test_trials_of_their_fold(products):
    for (session, variant, fold), fit in products.fits.items():
        recording, roles = splits.fold_of(products.trials[session], products.manifests[session], fold)
        found = store.read(products.out / products.stem("predictions", session, variant, fold, "zarr.zip"))
        assert sorted(found["trial"].values) == sorted(roles["test"])
        expected = fit.predict(recording, found["trial"].values).values.mean(0)
        assert np.allclose(found["predicted"], expected, atol=1e-5, equal_nan=True)


def test_a_later_session_begins_with_the_fit_of_the_same_fold_before(products):
    for variant in VARIANTS["net"]:
        for fold in FOLDS:
            before, after = (products.fits[s, variant, fold] for s in SESSIONS)
            assert after.card["started_from"] == before.digest()
            assert "started_from" not in before.card


def test_validation_trials_choose_otherwise_than_test_trials_would(products):
    """Otherwise the tests below could not tell the one from the other: another seed of the study will do."""
    by_role = {
        role: [products.best("early", VARIANTS["net"], f, role) for f in FOLDS] for role in ("valid", "test")
    }
    assert by_role["valid"][1] != by_role["test"][1] and by_role["valid"][0] != by_role["valid"][1]


def test_the_comparison(products):
    for session in SESSIONS:
        null = products.sums(session, ["null", "null"])
        spikes = products.sums(session, ["null", "null"], "n_events").sum()
        chains = products.sums(session, products.chosen(session, "markov")).mean(0)
        counts, n_trials = products.trials[session]["counts"].values, products.trials[session].sizes["trial"]
        assert spikes == counts[:, BURN_IN:].sum()  # all units are kept, every trial is tested once
        for model in VARIANTS:
            row, chosen = products.comparison.loc[session, model], products.chosen(session, model)
            nats = products.sums(session, chosen)
            assert row["variant"] == "/".join(dict.fromkeys(chosen))
            assert row["value"] == pytest.approx(
                (nats.mean(0) - null[0]).sum() / spikes / np.log(2), abs=1e-8
            )
            assert row["n_events"] == spikes and row["trials"] == n_trials and row["members"] == len(nats)
            best = [
                products.late(session, v, f)[products.late(session, v, f, "valid").sum(1).argmax()].sum()
                for f, v in enumerate(chosen)
            ]
            value = (sum(best) - null.sum()) / spikes / np.log(2)
            assert row["best_member_value"] == pytest.approx(value, abs=1e-8)
            first = products.late(session, chosen[0], 0, "valid").sum(1).argmax()
            assert row["best_member"] == first
            if model == "net":
                gain = (nats.mean(0) - chains).sum() / spikes / np.log(2)
                assert row["gain_over_markov"] == pytest.approx(gain, abs=1e-8)
                assert row["gain_low"] < gain < row["gain_high"]
                assert row["reference"] == products.comparison.loc[session, "markov"]["variant"]
            cold = []
            for variants in (chosen, ["null", "null"]):
                scores = [products.scores[session, v, f] for f, v in enumerate(variants)]
                test = [s["log_prob"].values[:, s["role"].values == "test"] for s in scores]
                cold.append(sum(np.nansum(t.mean(0)) for t in test))
            assert row["value_cold"] == pytest.approx(
                (cold[0] - cold[1]) / counts.sum() / np.log(2), abs=1e-8
            )
        averaged = products.comparison.loc[session, "net_averaged"]["value"]
        assert averaged > products.comparison.loc[session, "net"]["value"]


def test_the_table_of_variants(products):
    for session in SESSIONS:
        null = {role: products.sums(session, ["null"] * 2, role=role).sum() for role in ("valid", "test")}
        for model, names in VARIANTS.items():
            chosen = products.chosen(session, model)
            for variant in names:
                row = products.variants.loc[session, variant]
                for role in ("valid", "test"):
                    spikes = products.sums(session, ["null"] * 2, "n_events", role).sum()
                    nats = products.sums(session, [variant] * 2, role=role).mean(0).sum()
                    assert row[role] == pytest.approx((nats - null[role]) / spikes / np.log(2), abs=1e-8)
                assert row["chosen"] == (chosen[0] == variant)
                assert row["folds_chosen"] == chosen.count(variant)


def test_forecasts_memory_and_free_runs_are_of_the_chosen_variant_and_fold(products):
    for fold in (1,):
        variant = products.best("early", VARIANTS["net"], fold)
        fit = products.fits["early", variant, fold]
        recording, roles = splits.fold_of(products.trials["early"], products.manifests["early"], fold)
        ahead = store.read(products.out / f"forecasts/early/net/fold{fold}.zarr.zip")
        memory = store.read(products.out / f"memory/early/net/fold{fold}.zarr.zip")
        runs = products.table(f"generation/early/net/fold{fold}.csv")
        assert ahead.attrs["variant"] == memory.attrs["variant"] == variant
        assert (runs["variant"] == variant).all()
        assert ahead.attrs["burn_in"] == memory.attrs["burn_in"] == BURN_IN
        assert set(ahead["trial"].values) <= set(roles["test"]) and ahead.sizes["trial"] == 3
        one = fit.log_prob(recording, ahead["trial"].values).values
        assert np.allclose(ahead["log_prob"].sel(horizon=1), one, equal_nan=True)
        assert memory["trial"].values.tolist() == roles["test"]
        assert np.allclose(memory["full"], fit.log_prob(recording, roles["test"]).values, equal_nan=True)
        again = generation.compare(fit, recording, roles["test"], STUDY["seed"])
        assert np.allclose(runs["value"], again["value"], equal_nan=True)
        assert np.allclose(runs["ruler"], again["ruler"], equal_nan=True)


def test_the_figure_of_units_pools_both_folds(products):
    """It shows the variants that the first fold chose, on the test trials of all folds."""
    drawn = figure("units", products.out, "early")
    units = drawn[drawn["part"] == "score"].set_index("unit")
    assert set(drawn["part"]) == {"score", "time", "unit"}
    network, chain = (products.chosen("early", model)[0] for model in ("net", "markov"))
    sums = {}
    for variant in ("null", network, chain):
        total, spikes = pd.Series(dtype=float), pd.Series(dtype=float)
        for fold in FOLDS:
            score = products.scores["early", variant, fold]
            test, names = score["role"].values == "test", score["unit"].values
            mine = score["unit_score"].values[:, test].mean(0).sum(0)
            total = total.add(pd.Series(mine, names), fill_value=0)
            spikes = spikes.add(pd.Series(score["unit_events"].values[test].sum(0), names), fill_value=0)
        sums[variant] = total, spikes
    for variant in (network, chain):
        gain = (sums[variant][0] - sums["null"][0]) / (sums[variant][1] * np.log(2))
        assert np.allclose(units[variant], gain.loc[units.index])
    assert np.allclose(units["spikes"], sums["null"][1].loc[units.index])


def test_forgetting_is_of_both_folds_without_the_burn_in(products):
    variant = "net_hidden2"
    table = products.table(f"forgetting/{variant}.csv")
    score = {}
    for learned in SESSIONS:
        for tested in SESSIONS:
            nats = events = 0.0
            for fold in FOLDS:
                recording, roles = splits.fold_of(products.trials[tested], products.manifests[tested], fold)
                mine, null = (
                    fit.log_prob(recording, roles["test"]).values[..., BURN_IN:].mean(0).sum()
                    for fit in (products.fits[learned, variant, fold], products.fits[tested, "null", fold])
                )
                nats += mine - null
                events += recording["counts"].values[roles["test"], BURN_IN:].sum()
            score[learned, tested] = nats / events / np.log(2)
    for (learned, tested), expected in score.items():
        rows = table[
            (table["quantity"] == "score") & (table["learned"] == learned) & (table["tested"] == tested)
        ]
        assert rows["value"].item() == pytest.approx(expected, abs=1e-8)
        assert rows["low"].item() < expected < rows["high"].item()
    value = table.drop_duplicates("quantity", keep="last").set_index("quantity")["value"]
    change = score["late", "early"] - score["early", "early"]
    assert value["BWT"] == pytest.approx(change, abs=1e-8) and value["change"] == pytest.approx(
        change, abs=1e-8
    )
    assert value["ACC"] == pytest.approx((score["late", "early"] + score["late", "late"]) / 2, abs=1e-8)
