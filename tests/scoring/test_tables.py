"""Tables from hand-made scores: two folds, a burn-in, and other winners on validation than on test.

Every expected number is computed here with numpy from the arrays that went in.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm, poisson
from scipy.stats import t as student

from cortseq import recording as rec
from cortseq.observations import TRACKS
from cortseq.scoring import blocks, compare, notes, tasks
from cortseq.scoring.correlations import NAMES
from cortseq.scoring.rows import OPPONENTS
from cortseq.scoring.scored import shares
from cortseq.scoring.statistics import paired

BURN_IN, BINS = 2, 6
FOLDS = [
    {"train": [0, 1, 2, 3], "valid": [4, 5, 6], "test": [7, 8, 9, 10, 11, 12, 13], "units": [0, 1, 2]},
    {"train": [9, 10, 11], "valid": [7, 8, 12, 13], "test": [0, 1, 2, 3, 4, 5, 6], "units": [0, 2]},
]
N_TRIALS = 14
CORRELATIONS = {0: [0.5, 0.1, 0.2, 0.3, 0.4], 1: [0.7, 0.3, 0.4, 0.5, 0.6]}  # of each fold
# role, members, parameters, settings, advantage (nats per bin) on (validation, test) in fold 0, in fold 1
VARIANTS = {
    "null": ("null", 1, 3, 1, (0.0, 0.0), (0.0, 0.0)),
    "psth": ("baseline", 1, 18, 4, (0.9, 0.1), (0.2, 0.3)),
    "flat": (
        "baseline",
        1,
        2,
        1,
        (0.1, 1.5),
        (0.1, 1.6),
    ),  # best on test: no rival, as validation says otherwise
    "markov_order1": ("markov", 1, 10, 2, (0.3, 1.1), (0.7, 0.4)),  # chosen in fold 1 only
    "markov_order2": ("markov", 1, 20, 3, (0.6, 0.5), (0.4, 1.2)),  # chosen in fold 0 only
    "rate_hidden4": ("recurrent", 3, 40, 1, (0.5, 1.4), (1.2, 0.8)),
    "rate_hidden8": ("recurrent", 3, 80, 1, (1.1, 0.9), (0.6, 1.7)),
    "lstm": ("recurrent", 2, 60, 1, (0.4, 0.37), (0.5, 0.45)),
}
CHOSEN = {"null": ["null"] * 2, "psth": ["psth"] * 2, "flat": ["flat"] * 2, "lstm": ["lstm"] * 2}
CHOSEN |= {"markov": ["markov_order2", "markov_order1"], "rate": ["rate_hidden8", "rate_hidden4"]}
RIVAL = ["psth", "markov_order1"]


def recording(track: str, seed: int = 0, **attrs) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    shape = (N_TRIALS, BINS)
    if track == "counts":
        found = rec.from_counts(rng.poisson(1.3, (*shape, 3)), bin_width=0.02)
        rates = rng.uniform(0.5, 2.0, (*shape, 3))
        found = found.assign(true_rates=(("trial", "time", "unit"), rates))
    elif track == "symbols":
        found = rec.from_symbols(list(rng.integers(0, 3, shape)), n_symbols=3)
    else:
        found = rec.from_signal(rng.normal(size=(*shape, 2)), bin_width=0.1)
    found = found.assign(ceiling=(("trial", "time"), rng.uniform(-2.0, -1.0, shape)))
    return found.assign_attrs(**attrs)


def product(variant: str, fold: int, data: xr.Dataset, seed: int) -> xr.Dataset:
    """Scores of one variant on one fold; the bins of the burn-in hold numbers that would change every sum."""
    index = list(VARIANTS).index(variant)
    rng = np.random.default_rng([seed, index, fold])
    _, members, parameters, _, *advantages = VARIANTS[variant]
    roles = FOLDS[fold]
    trials = np.concatenate([roles[r] for r in ("train", "valid", "test")])
    role = np.repeat(["train", "valid", "test"], [len(roles[r]) for r in ("train", "valid", "test")])
    add = {"train": 0.0, "valid": advantages[fold][0], "test": advantages[fold][1]}
    size = (members, len(trials), BINS)
    nats = rng.normal(-4.0, 0.15, size) + np.array([add[r] for r in role])[:, None]
    # members: on validation the last is best, on test the first
    member_bonus = np.linspace(-0.1, 0.1, members) if members > 1 else np.zeros(1)
    sign = np.where(role == "valid", 1.0, -1.0)
    nats = nats + member_bonus[:, None, None] * sign[:, None]
    nats[..., :BURN_IN] -= 25.0 * (1 + index)
    kind = rec.track(data)
    chosen = data.isel(trial=trials)
    if kind == "counts":
        chosen = chosen.isel(unit=roles["units"])
        events = chosen["counts"].values.sum(-1)
    else:
        events = np.ones((len(trials), BINS), int)
    variables = {
        "log_prob": (("member", "trial", "time"), nats),
        "n_events": (("trial", "time"), events),
    }
    coords = {"trial": trials, "role": ("trial", role), "time": data["time"].values}
    if kind == "counts":
        units = len(roles["units"])
        variables |= {
            "mean_rate": (("member", "trial", "time"), nats - rng.uniform(0.1, 0.3, size)),
            "unit_score": (("member", "trial", "unit"), rng.normal(-3, 1, (members, len(trials), units))),
            "unit_events": (("trial", "unit"), chosen["counts"].values[:, BURN_IN:].sum(1)),
            "averaged_mean_rate": (("trial", "time"), nats.mean(0) + 0.05),
            "averaged_unit_score": (("trial", "unit"), rng.normal(-3, 1, (len(trials), units))),
            "correlation": (("member", "of"), np.tile(CORRELATIONS[fold], (members, 1))),
            "averaged_correlation": ("of", np.array(CORRELATIONS[fold]) + 0.1),
        }
        coords["unit"] = chosen["unit"].values
    attrs = {"bin_width": data.attrs["bin_width"], "parameters": parameters, "burn_in": BURN_IN}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def card(variant: str) -> dict:
    role, _, parameters, settings, *_ = VARIANTS[variant]
    spec: dict = {"family": variant.split("_")[0]}
    if role == "markov":
        spec["order"] = int(variant[-1])
    return {"role": role, "model": spec, "parameters": parameters, "settings_tried": settings}


class Case:
    """One recording with all scores, its tables, and the numbers that must stand in them."""

    def __init__(self, track: str, dataset: str = "d", seed: int = 0, **attrs):
        self.track, self.data = track, recording(track, seed, **attrs)
        self.unit = 1.0 if track == "signal" else np.log(2)
        self.products = {v: [product(v, f, self.data, seed) for f in range(2)] for v in VARIANTS}
        scored = []
        for variant, (role, *_) in VARIANTS.items():
            model = variant.split("_")[0]
            swept = {"order": int(variant[-1])} if role == "markov" else {}
            cards, products = [card(variant)] * 2, self.products[variant]
            scored.append(compare.gather(variant, model, swept, cards, products, BURN_IN))
        folds = FOLDS if track == "counts" else [{k: v for k, v in f.items() if k != "units"} for f in FOLDS]
        with pytest.MonkeyPatch.context() as patch:  # fewer than in a study: the tests allow for it
            patch.setattr(compare, "RESAMPLES", 3000)
            self.tables = compare.table(dataset, self.data, folds, scored, BURN_IN, 0)
        self.frame = compare.finish(self.tables.rows).set_index("model")

    def late(self, variant: str, fold: int, name: str = "log_prob", role: str = "test", start: int = BURN_IN):
        """Sums (member, trial) over the bins that count."""
        one = self.products[variant][fold]
        mine = one[name].values[..., one["role"].values == role, start:]
        return mine.sum(-1)

    def nats(self, variants: list[str], **where) -> np.ndarray:
        """(member, trial) of a choice per fold, folds side by side."""
        return np.concatenate([self.late(v, f, **where) for f, v in enumerate(variants)], -1)

    def events(self, role: str = "test", start: int = BURN_IN) -> float:
        return float(self.nats(["null"] * 2, name="n_events", role=role, start=start).sum())

    def gain(self, a: list[str], b: list[str]) -> float:
        return float((self.nats(a).mean(0) - self.nats(b).mean(0)).sum() / (self.events() * self.unit))

    def paired(self, a: list[str], b: list[str]):
        """The difference of two models in the order of time, in units of the metric."""
        order = np.concatenate([f["test"] for f in FOLDS])
        events = self.nats(["null"] * 2, name="n_events")
        shortest = blocks.shortest(N_TRIALS, bool(self.data.attrs["continuous"]))
        place = {
            "order": order,
            "shortest": shortest,
            "folds": np.repeat([0, 1], [len(f["test"]) for f in FOLDS]),
        }
        return paired(self.nats(a), self.nats(b), events, 3000, **place).per(self.unit)


@pytest.fixture(scope="module")
def cases():
    return {track: Case(track) for track in TRACKS}


@pytest.fixture(params=TRACKS)
def case(request, cases):
    return cases[request.param]


def test_correlations_are_means_over_members_and_folds(cases):
    frame = cases["counts"].frame
    assert frame.loc["lstm", list(NAMES)].tolist() == pytest.approx([0.6, 0.2, 0.3, 0.4, 0.5])
    assert frame.loc["lstm_averaged", list(NAMES)].tolist() == pytest.approx([0.7, 0.3, 0.4, 0.5, 0.6])
    assert frame.loc["null", list(NAMES)].notna().all()
    assert cases["signal"].frame[list(NAMES)].isna().to_numpy().all()


def test_value_is_that_of_the_variant_each_fold_chose_on_validation(case):
    unit = {"counts": "bits_per_spike", "symbols": "bits_per_symbol", "signal": "nats_per_sample"}[case.track]
    for model, variants in CHOSEN.items():
        row = case.frame.loc[model]
        assert row["variant"] == "/".join(dict.fromkeys(variants))
        assert row["value"] == pytest.approx(case.gain(variants, ["null"] * 2))
        assert row["metric"] == unit and row["trials"] == 14 and row["n_events"] == case.events()
        assert row["members"] == VARIANTS[variants[0]][1]
    bins = {"counts": 20.0, "symbols": np.nan, "signal": 100.0}[case.track]
    assert np.allclose(case.frame["bin_ms"], bins, equal_nan=True)
    assert case.frame.loc["markov", "settings_tried"] == 5 and case.frame.loc["rate", "settings_tried"] == 2
    assert case.frame.loc["rate", "parameters"] == 80  # of the first fold's choice
    assert case.frame.loc["markov", "rung"] == "L2" and case.frame.loc["flat", "rung"] == "L0'"


def test_best_member_is_that_of_validation(case):
    """The last member is best on validation and worst on test."""
    row = case.frame.loc["rate"]
    null = case.nats(["null"] * 2)[0]
    expected = (case.nats(CHOSEN["rate"])[-1] - null).sum() / (case.events() * case.unit)
    assert row["best_member"] == 2 and row["best_member_value"] == pytest.approx(expected)
    assert row["best_member_value"] < row["value"]
    each = (case.nats(CHOSEN["rate"]) - null).sum(1) / (case.events() * case.unit)
    assert row["member_sd"] == pytest.approx(np.std(each, ddof=1))
    assert np.isnan(case.frame.loc["markov", "member_sd"])


def test_chain_and_rival_are_chosen_on_validation(case):
    """On test trials `flat` and the other order would win."""
    for model in ("rate", "lstm", "psth", "flat"):
        row = case.frame.loc[model]
        assert row["reference"] == "markov_order2/markov_order1" and row["rival"] == "psth/markov_order1"
        assert row["gain_over_markov"] == pytest.approx(case.gain(CHOSEN[model], CHOSEN["markov"]))
        assert row["gain_over_rival"] == pytest.approx(case.gain(CHOSEN[model], RIVAL))
        chain = case.frame.loc["markov", "value"]
        assert row["gain_over_markov"] == pytest.approx(row["value"] - chain)
    assert case.frame.loc["markov", "gain_over_rival"] == pytest.approx(case.gain(CHOSEN["markov"], RIVAL))
    assert np.isnan(case.frame.loc["markov", "gain_over_markov"])
    assert case.frame.loc["flat", "value"] > case.frame.loc["psth", "value"]
    assert case.frame.loc["rate", "gain_over_markov"] > 0 > case.frame.loc["lstm", "gain_over_markov"]


def test_intervals_and_tests_are_those_of_the_paired_difference(case):
    """Each against its own opponent, with the trials of both folds in the order of time."""
    for model, against, key in (
        ("rate", ["null"] * 2, "null"),
        ("lstm", CHOSEN["markov"], "chain"),
        ("rate", RIVAL, "rival"),
    ):
        row, columns = case.frame.loc[model], OPPONENTS[key]
        found = case.paired(CHOSEN[model], against)
        expected = (found.estimate, found.low, found.high, found.p_value)
        assert row[[columns.gain, columns.low, columns.high, columns.p]].tolist() == pytest.approx(expected)
        margin = 0.01 * (2 if case.track == "signal" else 1)
        assert row["equivalence_margin"] == pytest.approx(margin)
        assert row[columns.equivalence_p] == pytest.approx(found.equivalence(margin))
        assert row[columns.smallest_p] >= found.smallest_p  # two networks are adjusted together
        if row[columns.smallest_p] < 0.05:
            assert row[columns.detectable] == pytest.approx(found.detectable)
        else:
            assert np.isnan(row[columns.detectable])
    assert row["equivalent"] == (row["equivalence_p"] < 0.05)


def test_p_of_models_without_restarts_is_of_sign_flips(case):
    """All flips of the blocks, by enumeration: of seven blocks that are given, and of those that are found."""

    def enumerated(difference: np.ndarray, labels: np.ndarray) -> float:
        sums = np.bincount(labels, difference)
        flips = np.array(list(itertools.product([-1, 1], repeat=len(sums))))
        return float((np.abs(flips @ sums) >= abs(sums.sum()) - 1e-12).mean())

    one, other = (case.nats([f"markov_order{k}"] * 2) for k in (1, 2))  # each is better in one fold
    labels, events = np.arange(N_TRIALS) // 2, case.nats(["null"] * 2, name="n_events")
    found = paired(one, other, events, blocks=labels)
    assert found.pieces == 7 and found.p_value > found.smallest_p
    assert found.p_value == enumerated((one - other)[0], labels)
    row = case.frame.loc["psth"]
    in_time = (case.nats(CHOSEN["psth"]) - case.nats(CHOSEN["markov"]))[0]
    in_time = in_time[np.argsort(np.concatenate([f["test"] for f in FOLDS]))]
    labels = np.arange(N_TRIALS) * int(row["blocks"]) // N_TRIALS
    exact, whole = enumerated(in_time, labels), case.paired(CHOSEN["psth"], CHOSEN["markov"])
    if whole.split_share:  # training sets matter: no smaller than that of the t distribution
        exact = max(exact, 2 * student.sf(abs(whole.estimate) / whole.standard_error, whole.degrees))
    assert row["p_value"] == pytest.approx(exact)


def test_columns_that_count_all_bins_or_only_the_scored_ones(case):
    row, null = case.frame.loc["rate"], ["null"] * 2
    everything = case.nats(CHOSEN["rate"], start=0).mean(0) - case.nats(null, start=0)[0]
    cold = everything.sum() / (case.events(start=0) * case.unit)
    assert row["value_cold"] == pytest.approx(cold) and row["value_cold"] < row["value"] - 1
    if case.track == "symbols":
        assert row["loss"] == pytest.approx(
            -case.nats(CHOSEN["rate"]).mean(0).sum() / (case.events() * np.log(2))
        )
    else:
        assert np.isnan(row["loss"])
    if case.track == "counts":
        seconds = 14 * (BINS - BURN_IN) * 0.02
        assert row["value_per_s"] == pytest.approx(row["value"] * case.events() / seconds)
    else:
        assert np.isnan(row["value_per_s"])


def test_null_of_the_evaluated_trials(case):
    """Each fold's scored test bins under their own mean, in the units that the fold keeps."""
    total = 0.0
    for fold in FOLDS:
        part = case.data.isel(trial=fold["test"], time=slice(BURN_IN, None))
        if case.track == "counts":
            y = part["counts"].values[..., fold["units"]]
            total += poisson.logpmf(y, y.mean((0, 1))).sum()
        elif case.track == "symbols":
            share = np.bincount(part["symbols"].values.ravel(), minlength=3) / part["symbols"].size
            total += np.log(share[part["symbols"].values]).sum()
        else:
            y = part["signal"].values
            total += norm.logpdf(y, y.mean((0, 1)), y.std((0, 1))).sum()
    expected = (case.nats(CHOSEN["rate"]).mean(0).sum() - total) / (case.events() * case.unit)
    # the package's null is smoothed by a pseudo-count or a variance floor at most
    assert case.frame.loc["rate", "value_evaluation_null"] == pytest.approx(expected, abs=0.03)


def test_limits_of_the_generator(cases):
    """The exact filter is that of all units: of a recording whose fold dropped one there is none."""
    for track, case in cases.items():
        null = case.nats(["null"] * 2)[0].sum()
        exact = sum(case.data["ceiling"].values[f["test"], BURN_IN:].sum() for f in FOLDS)
        ceiling = np.nan if track == "counts" else (exact - null) / (case.events() * case.unit)
        assert np.allclose(case.frame["ceiling"], ceiling, equal_nan=True)
    case = cases["counts"]
    total = 0.0
    for fold in FOLDS:
        y, rate = (
            case.data[v].values[fold["test"], BURN_IN:][..., fold["units"]] for v in ("counts", "true_rates")
        )
        total += poisson.logpmf(y, rate).sum()
    expected = (total - case.nats(["null"] * 2)[0].sum()) / (case.events() * np.log(2))
    assert np.allclose(case.frame["true_rates"], expected)


def test_scores_of_expected_counts(cases):
    case, null = cases["counts"], ["null"] * 2
    row = case.frame.loc["rate"]
    mine = case.nats(CHOSEN["rate"], name="mean_rate").mean(0).sum()
    base = case.nats(null, name="mean_rate")[0].sum()
    assert row["mean_rate"] == pytest.approx((mine - base) / (case.events() * np.log(2)))
    score, base, spikes = np.zeros(3), np.zeros(3), np.zeros(3)
    for f, roles in enumerate(FOLDS):
        ours, theirs = (case.products[v][f] for v in (CHOSEN["rate"][f], "null"))
        test = ours["role"].values == "test"
        score[roles["units"]] += ours["unit_score"].values[:, test].mean(0).sum(0)
        base[roles["units"]] += theirs["unit_score"].values[0, test].sum(0)
        spikes[roles["units"]] += ours["unit_events"].values[test].sum(0)
    assert row["unit_mean"] == pytest.approx(np.mean((score - base) / (spikes * np.log(2))))
    assert row["units_scored"] == 3 and row["units_silent"] == 0


def test_averaged_members_average_probabilities_not_scores(case):
    row, total = case.frame.loc["rate_averaged"], 0.0
    for fold, variant in enumerate(CHOSEN["rate"]):
        one = case.products[variant][fold]
        p = np.exp(one["log_prob"].values[:, one["role"].values == "test", BURN_IN:]).mean(0)
        total += np.log(p).sum()
    expected = (total - case.nats(["null"] * 2)[0].sum()) / (case.events() * case.unit)
    assert row["value"] == pytest.approx(expected) and row["averaged"] and row["members"] == 1
    assert row["value"] > case.frame.loc["rate", "value"] and np.isnan(row["p_holm"])
    assert row["variant"] == "rate_hidden8_averaged/rate_hidden4_averaged"
    assert not case.frame.loc["rate", "averaged"]
    assert list(case.frame.index) == [
        "null",
        "psth",
        "flat",
        "markov",
        "rate",
        "rate_averaged",
        "lstm",
        "lstm_averaged",
    ]


def test_holm_over_the_networks_of_all_recordings():
    """Chains and averaged members are in no family; gains over chain and rival are two families."""
    row = {
        "averaged": False,
        "metric": "bits_per_spike",
        "value": 0.2,
        "low": 0.1,
        "high": 0.3,
        "gain_low": 0.01,
    }
    row |= dict.fromkeys(set(compare.COLUMNS) - set(row) - {"p_holm", "rival_p_holm", "verdict"}, np.nan)
    row |= {"gain_over_markov": 0.1, "gain_high": 0.2, "reference": "markov", "rival": "", "members": 5}
    row |= {"null_p": 0.001, "smallest_p": 0.0001, "null_smallest_p": 0.0001}

    def made(dataset, model, role, p, rival, **more):
        return row | {"dataset": dataset, "model": model, "variant": model, "role": role, "p_value": p} | {
            "rival_p": rival, **more,
        }  # fmt: skip

    rows = [
        made("a", "psth", "baseline", 0.0001, 0.0002),
        made("a", "rate", "recurrent", 0.03, 0.002),
        made("a", "rate_averaged", "recurrent", 0.0003, 0.0001, averaged=True),
        made("a", "lstm", "recurrent", 0.01, 0.004),
        made("b", "rate", "recurrent", 0.02, 0.5),
    ]
    frame = compare.finish(rows)
    assert np.allclose(frame["p_holm"], [np.nan, 0.04, np.nan, 0.03, 0.04], equal_nan=True)
    assert np.allclose(frame["rival_p_holm"], [np.nan, 0.006, np.nan, 0.008, 0.5], equal_nan=True)
    assert frame["p_value"].tolist() == [0.0001, 0.03, 0.0003, 0.01, 0.02]
    assert "p = 0.04, Holm)" in frame["verdict"][1] and "p = 0.03, Holm)" in frame["verdict"][3]
    assert np.allclose(frame["smallest_p"], [0.0001, 0.0003, 0.0001, 0.0003, 0.0003])


def test_table_of_all_variants(case):
    table = pd.DataFrame(case.tables.variants).set_index("variant")
    assert list(table.index) == list(VARIANTS)
    for variant in VARIANTS:
        row = table.loc[variant]
        for role in ("valid", "test"):
            mine, null = (case.nats([v] * 2, role=role).mean(0).sum() for v in (variant, "null"))
            scale = case.events(role) * case.unit
            assert row[role] == pytest.approx((mine - null) / scale)
            assert row[f"loss_{role}"] == pytest.approx(-mine / scale)
        assert row["parameters"] == VARIANTS[variant][2] and row["role"] == VARIANTS[variant][0]
    assert table["chosen"].to_dict() == {v: any(c[0] == v for c in CHOSEN.values()) for v in VARIANTS}
    assert table["folds_chosen"].to_dict() == {v: sum(c.count(v) for c in CHOSEN.values()) for v in VARIANTS}
    assert table.loc["markov_order2", "context"] == 2 and np.isnan(table.loc["null", "context"])
    assert table.loc["markov_order2", "order"] == 2 and table.loc["markov_order2", "rung"] == "L2"
    better = table.loc["markov_order1", "test"] > table.loc["markov_order2", "test"]
    assert table.loc["markov_order2", "chosen"] or better


def test_expected_score_of_a_smaller_sweep(case):
    """Of n variants drawn with replacement the best on validation, in each fold for itself."""
    table = pd.DataFrame(case.tables.budget)
    names = ["markov_order1", "markov_order2"]
    for n in (1, 2):
        total = 0.0
        for fold in range(2):
            valid, test = (
                {v: case.late(v, fold, role=r).mean(0).sum() for v in names} for r in ("valid", "test")
            )
            draws = list(itertools.product(names, repeat=n))
            best = [test[max(draw, key=lambda v, valid=valid: valid[v])] for draw in draws]
            total += np.mean(best) - case.late("null", fold)[0].sum()
        row = table[(table["model"] == "markov") & (table["settings"] == n)].iloc[0]
        assert row["expected_test"] == pytest.approx(total / (case.events() * case.unit))
    assert len(table) == 4 + 2 * 2


def test_recordings_pooled(cases):
    """Each recording weighs the same; gains are over each one's own chain."""
    for track in ("counts", "signal"):
        both = [cases[track], Case(track, "other", 1)]
        pooled = compare.sessions([s for c in both for s in c.tables.sessions]).set_index("model")
        assert "null" not in pooled.index and (pooled["sessions"] == 2).all()
        for model in ("psth", "rate", "lstm"):
            row = pooled.loc[model]
            values = [c.frame.loc[model, "value"] for c in both]
            gains = [c.frame.loc[model, "gain_over_markov"] for c in both]
            assert row["value"] == pytest.approx(np.mean(values))
            assert row["gain_over_markov"] == pytest.approx(np.mean(gains))
            assert row["low"] < row["value"] < row["high"]
            assert row["gain_low"] < row["gain_over_markov"] < row["gain_high"]
            assert row["high"] - row["low"] >= 0.5 * abs(values[0] - values[1])
        assert np.isnan(pooled.loc["markov", "gain_over_markov"])
        assert (pooled["metric"] == both[0].frame["metric"].iloc[0]).all()
        assert (pooled["bin_ms"] == {"counts": 20.0, "signal": 100.0}[track]).all()


def test_windows_of_a_continuous_recording_are_counted_in_blocks(cases):
    """Blocks of at least three windows, the cube root of 14; where they are trials, a trial may be a block."""
    windows = Case("signal", continuous=1)
    assert (windows.frame["blocks"].drop("null") <= 5).all() and (windows.frame["trials"] == 14).all()
    assert (windows.frame["block_trials"].drop("null") >= 3).all()
    against = dict.fromkeys(("psth", "flat", "rate", "lstm"), CHOSEN["markov"]) | {"markov": CHOSEN["null"]}
    for case in (windows, cases["signal"]):
        for model, other in against.items():
            found = case.paired(CHOSEN[model], other)
            counted = case.frame.loc[model, ["blocks", "block_trials"]].tolist()
            assert counted == [found.pieces, found.block_trials]
    assert cases["signal"].frame.loc["markov", "blocks"] > windows.frame.loc["markov", "blocks"] == 5


def test_what_fitting_cost():
    given = {"variant": "rate", "seconds": 12.5, "peak_memory_mb": 310.0, "device": "cuda"}
    row = compare.timing_row("ring", given, 1)
    assert row == {"dataset": "ring", "fold": 1, **given}


# -- the other tasks -------------------------------------------------------------------------------


def _task(
    seed: int, dims: tuple, sizes: tuple, trials, coords: dict, name: str = "log_prob", **attrs
) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    events = rng.integers(1, 5, (len(trials), BINS))
    return xr.Dataset(
        {name: (dims, rng.uniform(-5, -1, sizes)), "n_events": (("trial", "time"), events)},
        {"trial": trials, "time": range(BINS), **coords},
        {"track": "counts", "continuous": 0, "role": "recurrent", "kind": "sampled", **attrs},
    )


def test_the_best_variant_for_a_task_is_that_of_validation(cases):
    case = cases["counts"]
    for fold in range(2):
        for names in (["rate_hidden4", "rate_hidden8"], ["markov_order1", "markov_order2"]):
            scores = {v: case.products[v][fold] for v in names}
            assert tasks.best(scores, BURN_IN) == CHOSEN[names[0].split("_")[0]][fold]
    a, b = (case.products[v][0].copy(deep=True) for v in ("rate_hidden4", "rate_hidden8"))
    a["log_prob"].values[..., :BURN_IN] = 1e3  # bins that are not scored choose nothing
    assert tasks.best({"a": a, "b": b}, BURN_IN) == "b" and tasks.best({"a": a, "b": b}, 0) == "a"


def test_table_of_horizons():
    """All horizons on the bins that the largest reaches, after the burn-in; folds joined."""
    dims, horizons = ("member", "trial", "time", "horizon"), [1, 3]
    trials = [[0, 2, 4], [1, 3, 5, 7]]
    folds = {}
    for model, members, role in (("null", 1, "null"), ("rate", 2, "recurrent")):
        folds[model] = [
            _task(
                10 * members + f, dims, (members, len(some), BINS, 2), some, {"horizon": horizons}, role=role
            )
            for f, some in enumerate(trials)
        ]
    for products in folds.values():
        for f, one in enumerate(products):
            one["n_events"] = folds["null"][f]["n_events"]
    for burn_in, start in ((0, 2), (4, 4)):
        table = tasks.horizon_table(folds, burn_in)
        events = sum(one["n_events"].values[:, start:].sum() for one in folds["null"])
        for i, h in enumerate(horizons):
            total = sum(
                (a["log_prob"].values[:, :, start:, i].mean(0) - b["log_prob"].values[0, :, start:, i]).sum()
                for a, b in zip(folds["rate"], folds["null"], strict=True)
            )
            row = table[(table["model"] == "rate") & (table["horizon"] == h)].iloc[0]
            assert row["value"] == pytest.approx(total / (events * np.log(2)))
            assert row["low"] < row["value"] < row["high"] and row["trials"] == 7
            assert row["kind"] == "sampled" and row["role"] == "recurrent"


def test_tables_of_memory():
    trials, dims = [[0, 2, 4], [1, 3, 5, 7]], ("memory", "member", "trial", "time")
    folds = []
    for f, some in enumerate(trials):
        one = _task(f, dims, (2, 2, len(some), BINS), some, {"memory": [1, 2]})
        full = np.random.default_rng(50 + f).uniform(-2, -1, (2, len(some), BINS))
        folds.append(one.assign(full=(dims[1:], full)))
    table = tasks.memory_rerun(folds, BURN_IN).set_index("memory")
    events = sum(one["n_events"].values[:, BURN_IN:].sum() for one in folds)
    for i, k in enumerate((1, 2)):
        total = sum((one["full"] - one["log_prob"][i]).values[..., BURN_IN:].mean(0).sum() for one in folds)
        row = table.loc[k]
        assert row["value"] == pytest.approx(total / (events * np.log(2)))
        assert row["low"] < row["value"] < row["high"] and row["kind"] == "re-run"


def test_gain_of_a_network_trained_on_short_windows(cases):
    case = cases["counts"]
    full, short = case.products["rate_hidden8"], case.products["rate_hidden4"]
    row = tasks.memory_retrained(full, short, 3, "counts", False, BURN_IN)
    assert row["value"] == pytest.approx(case.gain(["rate_hidden8"] * 2, ["rate_hidden4"] * 2))
    assert row["memory"] == 3 and row["kind"] == "re-trained" and row["low"] < row["value"] < row["high"]


@pytest.mark.parametrize(("early", "late", "beyond"), [(0.3, 0.3, 0.0), (0.0, 0.4, 0.4), (0.2, 0.5, 0.3)])
def test_what_the_past_beyond_a_window_is_worth(cases, early, late, beyond):
    """The window loses `early` nats an event while it holds the whole past, `late` after that."""
    case = cases["counts"]
    full = case.products["rate_hidden8"]
    k = 4
    loss = np.where(np.arange(full[0].sizes["time"]) < k, early, late)
    short = [f.assign(log_prob=f["log_prob"] - f["n_events"] * loss) for f in full]
    row = tasks.memory_retrained(full, short, k, "counts", False, BURN_IN)
    assert row["beyond"] == pytest.approx(beyond / np.log(2))
    assert row["beyond_low"] <= row["beyond"] + 1e-9 and row["beyond"] <= row["beyond_high"] + 1e-9
    for nothing in (BURN_IN, full[0].sizes["time"]):  # no early bins, and no late ones
        assert np.isnan(tasks.memory_retrained(full, short, nothing, "counts", False, BURN_IN)["beyond"])


# -- how sure the choice of a variant is ---------------------------------------------------------------


def test_a_choice_that_other_validation_trials_would_not_make_is_seen():
    """One variant better in every trial: always chosen. One better in half of the trials: chosen half of the time."""
    rng = np.random.default_rng(0)
    base = rng.normal(-5, 1, (2, 30))
    sign = np.where(np.arange(30) % 2, 1.0, -1.0)
    made = {"a": base, "clear": base + 0.2, "even": base + sign}
    scored = {name: compare.Scored(name, "m", {"role": "markov"}, valid=nats) for name, nats in made.items()}
    assert shares([scored["a"], scored["clear"]], 0).tolist() == [0, 1]
    even = shares([scored["a"], scored["even"]], 0)
    assert even.sum() == 1 and 0.35 < even[0] < 0.65
    slight = compare.Scored("slight", "m", {"role": "markov"}, valid=made["even"] + 0.1)
    assert 0.6 < shares([scored["a"], slight], 0)[1] < 0.85  # 0.55 standard errors ahead
    assert np.array_equal(even, shares([scored["a"], scored["even"]], 0))


def test_shares_and_stability_in_the_tables(case):
    table = pd.DataFrame(case.tables.variants).set_index("variant")
    chains = table.loc[["markov_order1", "markov_order2"]]
    assert chains["share_chosen"].sum() == pytest.approx(1) and table.loc["null", "share_chosen"] == 1
    wanted = 0.0
    for fold, best in enumerate(CHOSEN["markov"]):
        made = [compare.Scored(v, "markov", {}, valid=case.late(v, fold, role="valid")) for v in chains.index]
        wanted += shares(made, 0)[chains.index.tolist().index(best)] / 2
    assert case.frame.loc["markov", "choice_stability"] == pytest.approx(wanted)
    assert np.isnan(case.frame.loc["psth", "choice_stability"])
    said = notes.stability(case.frame.reset_index())
    assert said[0].startswith("Another sample of the validation trials would have chosen the same variant: ")
    assert notes.stability(case.frame.loc[["psth"]].reset_index()) == []
