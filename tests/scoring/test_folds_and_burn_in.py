"""Comparison tables of two folds with a burn-in, where validation and test disagree, against sums written out."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.scoring import audits, blocks, compare, products, tasks
from cortseq.scoring import scored as scored_module
from cortseq.scoring.scored import Scored
from cortseq.scoring.statistics import Session, across_sessions, holm, paired
from cortseq.scoring.units import paired_difference

BURN_IN, BINS, TRIALS = 2, 7, 18
FOLDS = [
    {"train": [*range(8)], "valid": [8, 9, 10, 11], "test": [12, 13, 14, 15, 16, 17]},
    {"train": [*range(10, 18)], "valid": [0, 1, 2], "test": [3, 4, 5, 6, 7, 8, 9]},
]
# entry -> variant -> (role, family, members)
ENTRIES = {
    "null": {"null": ("null", "null", 1)},
    "markov": {"markov_a": ("markov", "markov", 1), "markov_b": ("markov", "markov", 1)},
    "other": {"other": ("markov", "ctw", 1)},
    "flat": {"flat": ("baseline", "flat", 1)},
    "rate": {"rate_a": ("recurrent", "rate", 3), "rate_b": ("recurrent", "rate", 3)},
}
# Mean nats per bin on (validation, test), fold by fold. What is best on validation is never best on test, and
# folds choose differently.
LEVELS = {
    "null": [(-1.0, -1.0), (-1.0, -1.0)],
    "markov_a": [(-0.5, -0.9), (-0.8, -0.4)],
    "markov_b": [(-0.7, -0.4), (-0.6, -0.9)],
    "other": [(-0.9, -0.2), (-0.95, -0.2)],
    "flat": [(-0.55, -0.15), (-0.65, -0.15)],
    "rate_a": [(-0.4, -0.6), (-0.3, -0.7)],
    "rate_b": [(-0.45, -0.3), (-0.35, -0.35)],
}


def product(variant: str, members: int, fold: int) -> xr.Dataset:
    """What the score stage writes: the bins of the burn-in are much better than the others, and favour others."""
    rng = np.random.default_rng([hash_of(variant), fold])
    roles = FOLDS[fold]
    trials = np.concatenate([roles[r] for r in products.SCORED])
    role = np.repeat(products.SCORED, [len(roles[r]) for r in products.SCORED])
    level = {"train": -0.8, "valid": LEVELS[variant][fold][0], "test": LEVELS[variant][fold][1]}
    mean = np.array([level[r] for r in role])[None, :, None]
    log_prob = mean + rng.normal(0, 0.05, (members, len(trials), BINS))
    # member 2 is best on validation, member 0 on test
    log_prob += 0.1 * np.where(role == "valid", 1, -1)[None, :, None] * np.arange(members)[:, None, None]
    log_prob[:, :, :BURN_IN] += 9.0 * (-0.5 - mean)  # in the burn-in the order of models is upside down
    log_prob[:, :, BURN_IN:][:, trials == trials[-1], -1] = np.nan  # a trial that ends a bin early
    events = np.where(np.isnan(log_prob[0]), 0, 1)
    return xr.Dataset(
        {"log_prob": (("member", "trial", "time"), log_prob), "n_events": (("trial", "time"), events)},
        coords={"trial": trials, "role": ("trial", role.astype("<U5")), "time": np.arange(BINS) * 1.0},
        attrs={"bin_width": 1.0, "parameters": 3, "burn_in": BURN_IN},
    )


def hash_of(name: str) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    return rec.from_symbols(list(rng.integers(0, 3, (TRIALS, BINS))), n_symbols=3)


@pytest.fixture(scope="module")
def scores():
    return {
        variant: [product(variant, members, fold) for fold in range(2)]
        for variants in ENTRIES.values()
        for variant, (_, _, members) in variants.items()
    }


@pytest.fixture(scope="module")
def tables(recording, scores):
    scored = []
    for entry, variants in ENTRIES.items():
        for variant, (role, family, _) in variants.items():
            card = {"role": role, "model": {"family": family, "order": 1}, "parameters": 3}
            swept = {"setting": variant[-1]} if len(variants) > 1 else {}
            scored.append(compare.gather(variant, entry, swept, [card, card], scores[variant], BURN_IN))
    return compare.table("d", recording, FOLDS, scored, BURN_IN, 0)


@pytest.fixture(scope="module")
def rows(tables):
    return compare.finish(tables.rows).set_index("model")


def nats(score: xr.Dataset, role: str, start: int = BURN_IN) -> np.ndarray:
    """(member, trial) sums, one number at a time."""
    out = np.zeros((score.sizes["member"], int((score["role"] == role).sum())))
    at = np.flatnonzero(score["role"].values == role)
    for member in range(len(out)):
        for place, trial in enumerate(at):
            for bin in range(start, BINS):
                value = float(score["log_prob"].values[member, trial, bin])
                out[member, place] += 0.0 if np.isnan(value) else value
    return out


def events(score: xr.Dataset, role: str = "test", start: int = BURN_IN) -> float:
    return float(score["n_events"].values[score["role"].values == role, start:].sum())


def best_on_validation(scores, names, fold: int) -> str:
    return max(names, key=lambda name: nats(scores[name][fold], "valid").mean(0).sum())


def gain(scores, chosen, other, start: int = BURN_IN) -> float:
    """Bits per event of one variant a fold over another, mean over members."""
    total = sum(
        nats(scores[a][f], "test", start).mean(0).sum() - nats(scores[b][f], "test", start).mean(0).sum()
        for f, (a, b) in enumerate(zip(chosen, other, strict=True))
    )
    return total / sum(events(s, start=start) for s in scores["null"]) / np.log(2)


def pieces(scores, chosen, other) -> int:
    """Blocks that are found in the differences of one variant a fold from another, in the order of time."""

    def whole(name: str, fold: int) -> np.ndarray:
        return nats(scores[name][fold], "test")

    a, b = (np.concatenate([whole(v, f) for f, v in enumerate(names)], 1) for names in (chosen, other))
    late = [s["n_events"].values[s["role"].values == "test", BURN_IN:].sum(1) for s in scores["null"]]
    order = np.concatenate([f["test"] for f in FOLDS])
    return paired(a, b, np.concatenate(late), 1, order=order).pieces


def test_validation_and_test_disagree(scores):
    """Else nothing is tested here."""
    for entry in ("markov", "rate"):
        for fold in range(2):
            by_test = max(ENTRIES[entry], key=lambda v: nats(scores[v][fold], "test").mean(0).sum())
            assert by_test != best_on_validation(scores, ENTRIES[entry], fold)
            cold = {v: nats(scores[v][fold], "valid", 0).mean(0).sum() for v in ENTRIES[entry]}
            assert max(cold, key=cold.get) != best_on_validation(scores, ENTRIES[entry], fold)


def test_every_fold_counts_with_the_variant_that_its_validation_chose(rows, scores):
    expected = {
        "markov": ["markov_a", "markov_b"], "rate": ["rate_a"] * 2, "flat": ["flat"] * 2, "other": ["other"] * 2
    }  # fmt: skip
    for entry, chosen in expected.items():
        assert chosen == [best_on_validation(scores, ENTRIES[entry], f) for f in range(2)]
        assert rows.loc[entry, "variant"] == "/".join(dict.fromkeys(chosen))
        assert rows.loc[entry, "value"] == pytest.approx(gain(scores, chosen, ["null"] * 2))
        assert rows.loc[entry, "value_cold"] == pytest.approx(gain(scores, chosen, ["null"] * 2, 0))
        assert rows.loc[entry, "low"] < rows.loc[entry, "value"] < rows.loc[entry, "high"]
        against = ["null"] * 2 if entry == "markov" else expected["markov"]
        assert rows.loc[entry, "blocks"] == pieces(scores, chosen, against)
    assert (rows["trials"] == 13).all()
    assert (rows["n_events"] == sum(events(s) for s in scores["null"])).all()


def test_references_are_best_on_validation_in_each_fold(rows, scores):
    chains = ["markov_a", "markov_b", "other"]
    reference = [best_on_validation(scores, chains, f) for f in range(2)]
    rival = [best_on_validation(scores, [*chains, "flat"], f) for f in range(2)]
    assert rows.loc["rate", "reference"] == "/".join(reference) == "markov_a/markov_b"
    assert rows.loc["rate", "rival"] == "/".join(rival)
    assert rows.loc["rate", "gain_over_markov"] == pytest.approx(gain(scores, ["rate_a"] * 2, reference))
    assert rows.loc["rate", "gain_over_rival"] == pytest.approx(gain(scores, ["rate_a"] * 2, rival))
    assert np.isnan(rows.loc["markov", "gain_over_markov"])


def test_a_rival_may_be_a_chain_or_a_floor():
    """Where the best chain beats every floor on validation, it is the rival too."""
    rng = np.random.default_rng(1)

    def scored(name, role, valid, test):
        card = {"role": role, "model": {"family": name}, "parameters": 1}
        shape = {"test": (1, 6), "valid": (1, 4)}
        nats = {
            k: np.full(shape[k], v) + rng.normal(0, 0.01, shape[k])
            for k, v in (("valid", valid), ("test", test))
        }
        return [
            compare.Scored(
                name, name, card, test=nats["test"], valid=nats["valid"], test_events=np.ones(6),
                valid_events=np.ones(4), best=nats["test"][0], cold=nats["test"], cold_events=np.ones(6),
            )
        ]  # fmt: skip

    found = [
        scored("null", "null", -3, -3), scored("flat", "baseline", -2, -1), scored("markov", "markov", -1, -2),
        scored("rate", "recurrent", -0.5, -0.5),
    ]  # fmt: skip
    symbols = rec.from_symbols(list(rng.integers(0, 3, (20, 4))), n_symbols=3)
    folds = [{"train": [*range(10)], "valid": [*range(10, 14)], "test": [*range(14, 20)]}]
    frame = compare.finish(compare.table("d", symbols, folds, found, 0, 0).rows).set_index("model")
    assert frame.loc["rate", "rival"] == frame.loc["rate", "reference"] == "markov"


def test_members_are_told_apart_on_validation(rows, scores):
    fold = scores["rate_a"]
    best = [int(nats(f, "valid").sum(1).argmax()) for f in fold]
    by_test = [int(nats(f, "test").sum(1).argmax()) for f in fold]
    assert best[0] != by_test[0] and rows.loc["rate", "best_member"] == best[0]
    total = sum(events(s) for s in scores["null"]) * np.log(2)
    alone = sum(
        nats(f, "test")[m].sum() - nats(n, "test").sum() for f, m, n in zip(fold, best, scores["null"])
    )
    assert rows.loc["rate", "best_member_value"] == pytest.approx(alone / total)
    each = np.stack([nats(f, "test").sum(1) for f in fold]).sum(0) - sum(
        nats(n, "test").sum() for n in scores["null"]
    )
    assert rows.loc["rate", "member_sd"] == pytest.approx((each / total).std(ddof=1))
    assert rows.loc["rate", "loss"] == pytest.approx(
        -sum(nats(f, "test").mean(0).sum() for f in fold) / total
    )
    mean = [np.log(np.exp(f["log_prob"].values).mean(0))[f["role"].values == "test", BURN_IN:] for f in fold]
    averaged = np.nansum(np.concatenate(mean)) - sum(nats(n, "test").sum() for n in scores["null"])
    assert rows.loc["rate_averaged", "value"] == pytest.approx(averaged / total)


def test_the_table_of_variants_and_the_budget_sum_over_folds(tables, scores):
    table = pd.DataFrame(tables.variants).set_index("variant")
    for variant in ("markov_a", "markov_b", "rate_a", "rate_b"):
        for role in ("valid", "test"):
            n = sum(events(s, role) for s in scores["null"]) * np.log(2)
            value = sum(nats(s, role).mean(0).sum() for s in scores[variant])
            null = sum(nats(s, role).sum() for s in scores["null"])
            assert table.loc[variant, role] == pytest.approx((value - null) / n), (variant, role)
            assert table.loc[variant, f"loss_{role}"] == pytest.approx(-value / n)
    assert table.loc[["markov_a", "markov_b"], "chosen"].tolist() == [True, False]
    assert table.loc[["markov_a", "markov_b"], "folds_chosen"].tolist() == [1, 1]
    budget = pd.DataFrame(tables.budget).query("model == 'markov'")["expected_test"].tolist()
    n = sum(events(s) for s in scores["null"]) * np.log(2)
    both = {v: [nats(s, "test").sum() for s in scores[v]] for v in ("markov_a", "markov_b")}
    null = [nats(s, "test").sum() for s in scores["null"]]
    one = sum((both["markov_a"][f] + both["markov_b"][f]) / 2 - null[f] for f in range(2))
    # of two draws the one that is best on validation is drawn with probability 3/4
    best = [("markov_a", "markov_b"), ("markov_b", "markov_a")]
    two = sum(0.75 * both[a][f] + 0.25 * both[b][f] - null[f] for f, (a, b) in enumerate(best))
    assert budget == pytest.approx([one / n, two / n])


def test_the_audit_of_choices_agrees(tables, scores):
    known = {v: (entry, scores[v]) for entry, variants in ENTRIES.items() for v in variants}
    assert audits.choice(tables.rows, known, BURN_IN).passed
    wrong = [r | ({"variant": "rate_b"} if r["model"] == "rate" else {}) for r in tables.rows]
    assert not audits.choice(wrong, known, BURN_IN).passed


def test_tasks_choose_on_validation_after_the_burn_in(scores):
    for entry in ("markov", "rate"):
        for fold in range(2):
            of_fold = {v: scores[v][fold] for v in ENTRIES[entry]}
            assert tasks.best(of_fold, BURN_IN) == best_on_validation(scores, ENTRIES[entry], fold)


# -- counts: rates, seconds, nulls of the evaluated trials, ceilings --------------------------------


@pytest.fixture(scope="module")
def counted():
    """A recording of counts whose first bins differ from the rest, its folds and its tables."""
    rng = np.random.default_rng(2)
    rates = np.concatenate([np.full((20, 3, 3), 4.0), rng.gamma(2, 0.5, (20, 9, 3))], 1)
    recording = rec.from_counts(rng.poisson(rates), bin_width=0.05)
    recording["ceiling"] = ("trial", "time"), rng.normal(-3, 1, (20, 12))
    recording["true_rates"] = ("trial", "time", "unit"), rates
    folds = [
        {"train": [*range(8)], "valid": [8, 9, 10], "test": [*range(11, 20)], "units": [0, 1, 2]},
        {"train": [*range(12, 20)], "valid": [9, 10, 11], "test": [*range(9)], "units": [0, 1, 2]},
    ]
    scored, fits = [], {}
    for name, model in (("null", models.Null()), ("psth", models.Psth())):
        fits[name] = [model.fit(recording, f["train"], f["valid"]) for f in folds]
        found = [products.scores(fit, recording, f, 3) for fit, f in zip(fits[name], folds, strict=True)]
        scored.append(compare.gather(name, name, {}, [f.card for f in fits[name]], found, 3))
    rows = compare.finish(compare.table("d", recording, folds, scored, 3, 0).rows).set_index("model")
    return recording, folds, fits, rows


def test_scores_of_counts_leave_the_burn_in_out(counted):
    recording, folds, fits, rows = counted
    y = recording["counts"].values
    late, mine, null, own, seconds = 0, 0.0, 0.0, 0.0, 0.0
    ceiling, true, units = 0.0, 0.0, np.zeros((3, 3))
    for f, fold in enumerate(folds):
        seen = y[fold["test"], 3:]
        late += seen.sum()
        seconds += seen.shape[0] * seen.shape[1] * 0.05
        rate = {k: fits[k][f].predict(recording, fold["test"]).values[0][:, 3:] for k in fits}
        mine += poisson.logpmf(seen, rate["psth"]).sum()
        null += poisson.logpmf(seen, rate["null"]).sum()
        own += poisson.logpmf(seen, seen.mean((0, 1))).sum()
        ceiling += recording["ceiling"].values[fold["test"], 3:].sum()
        true += poisson.logpmf(seen, recording["true_rates"].values[fold["test"], 3:]).sum()
        for k, name in enumerate(("psth", "null")):
            units[k] += poisson.logpmf(seen, rate[name]).sum((0, 1))
        units[2] += seen.sum((0, 1))
    bits = late * np.log(2)
    row = rows.loc["psth"]
    assert row["n_events"] == late
    assert row["value"] == pytest.approx((mine - null) / bits)
    assert row["value_per_s"] == pytest.approx((mine - null) / np.log(2) / seconds)
    assert row["value_evaluation_null"] == pytest.approx((mine - own) / bits)
    assert row["mean_rate_evaluation_null"] == pytest.approx((mine - own) / bits)
    assert row["unit_mean"] == pytest.approx(((units[0] - units[1]) / units[2]).mean() / np.log(2))
    assert row["ceiling"] == pytest.approx((ceiling - null) / bits)
    assert row["true_rates"] == pytest.approx((true - null) / bits)


def test_gains_of_signals_are_in_nats(signal):
    roles = {"train": [*range(15)], "valid": [*range(15, 20)], "test": [*range(20, 30)], "channels": [0, 1]}
    scored, fits = [], {}
    for name, model in (("null", models.Null()), ("persistence", models.registry()["persistence"]())):
        fit = fits[name] = model.fit(signal, roles["train"], roles["valid"])
        scored.append(compare.gather(name, name, {}, [fit.card], [products.scores(fit, signal, roles)], 0))
    row = (
        compare.finish(compare.table("d", signal, [roles], scored, 0, 0).rows)
        .set_index("model")
        .loc["persistence"]
    )
    gain = sum(
        s * np.nansum(fits[k].log_prob(signal, roles["test"]).values)
        for k, s in (("persistence", 1), ("null", -1))
    )
    assert row["value"] == pytest.approx(gain / (10 * 20))
    assert row["low"] < row["value"] < row["high"]


def test_trials_of_all_folds_are_put_in_the_order_of_time():
    """Neighbours in time are in different folds: only side by side can they be seen to be correlated."""
    folds = [{"test": [*range(0, 40, 2)]}, {"test": [*range(1, 40, 2)]}]
    products_of = [xr.Dataset(coords={"trial": f["test"]}, attrs={"continuous": 1}) for f in folds]
    tests = [f["test"] for f in folds]
    for place in (blocks.place(tests, True), tasks._place(products_of)):
        assert place["order"].tolist() == folds[0]["test"] + folds[1]["test"]
        assert place["shortest"] == 4  # of 40 windows that follow each other
        assert place["folds"].tolist() == [0] * 20 + [1] * 20
    assert blocks.place(tests, False)["shortest"] == 1
    slow = np.repeat(np.random.default_rng(3).normal(size=5), 8)  # lasts for eight trials
    by_fold = np.concatenate([slow[f["test"]] for f in folds])
    order = blocks.place(tests, True)["order"]
    sorted_in_time = paired(slow, np.zeros(40), np.ones(40), 100)
    found = paired(by_fold, np.zeros(40), np.ones(40), 100, order=order)
    assert astuple(found) == pytest.approx(astuple(sorted_in_time))
    assert found.low == pytest.approx(sorted_in_time.low)


# -- p-values, intervals ----------------------------------------------------------------------------


def test_holm_is_over_planned_tests_only(tables):
    rows = [dict(r) for r in tables.rows if r["model"] in ("null", "markov", "rate", "rate_averaged")]
    rows += [r | {"model": "second", "averaged": False} for r in rows if r["model"] == "rate"]
    p = {"null": np.nan, "markov": 0.001, "rate": 0.01, "rate_averaged": 0.002, "second": 0.04}
    frame = compare.finish([r | {"p_value": p[r["model"]], "rival_p": p[r["model"]]} for r in rows])
    frame = frame.set_index("model")
    for column in ("p_holm", "rival_p_holm"):
        assert frame.loc["rate", column] == pytest.approx(0.02)
        assert frame.loc["second", column] == pytest.approx(0.04)
        assert frame.loc[["null", "markov", "rate_averaged"], column].isna().all()


def test_holm_steps_down_and_never_falls():
    assert holm(np.array([0.02, 0.01, 0.021, np.nan])) == pytest.approx(
        [0.04, 0.03, 0.04, np.nan], nan_ok=True
    )


def test_intervals_hold_95_percent_and_p_is_never_0():
    rng = np.random.default_rng(4)
    found = paired_difference(rng.normal(3, 1, 400), np.zeros(400), np.full(400, 2.0), 4000)
    assert found.low < found.estimate < found.high
    assert (found.high - found.low) / (2 * found.standard_error) == pytest.approx(1.966, abs=0.001)  # t, 399
    assert found.estimate == pytest.approx(3 / (2 * np.log(2)), rel=0.1)
    assert found.p_value == 1 / 4001
    assert found.degrees == 399 and found.smallest_p == 1 / 4001
    assert found.detectable == pytest.approx((1.965927 + 0.842608) * found.standard_error, rel=1e-4)
    assert found.equivalence(found.estimate - 1) > 0.5  # as far out on the other side
    mirrored = paired_difference(np.zeros(400), rng.normal(3, 1, 400), np.full(400, 2.0), 400)
    assert mirrored.equivalence(1.0) > 0.99


def test_a_difference_of_0_has_a_p_value_of_1():
    """Two sessions that differ by the same amount, one either way."""
    d = np.random.default_rng(5).normal(0, 1, 60)
    sessions = [Session(s * d, np.zeros(60), np.ones(60)) for s in (1, -1)]
    assert across_sessions(sessions).p_value > 0.9


def test_recordings_of_other_bin_widths_are_not_pooled():
    rng = np.random.default_rng(6)

    def part(dataset, bin_ms):
        a, b = rng.normal(0, 1, (2, 1, 30))
        over = Session(a, b, np.ones(30))
        return {
            "dataset": dataset, "model": "rate", "role": "recurrent", "metric": "bits_per_spike", "bin_ms": bin_ms,
            "over_null": over, "over_chain": over,
        }  # fmt: skip

    pooled = compare.sessions([part("a", 20.0), part("b", 20.0), part("c", 10.0)])
    assert pooled["sessions"].tolist() == [2] and pooled["bin_ms"].tolist() == [20.0]
    assert compare.sessions([part("a", 20.0), part("c", 10.0)]).empty


def test_the_simulations_ruler_shares_no_trial():
    """Two halves of independent trials agree less than a half with the whole that holds it."""
    from cortseq.scoring import generation

    rng = np.random.default_rng(7)
    y = rng.poisson(2.0, (40, 10, 2))
    real = y, np.ones((40, 10), bool)
    orders = [rng.permutation(40) for _ in range(20)]
    _, ruler = generation._agreement(generation.mean_over_trials, ("correlation",), real, real, orders, 2)
    assert abs(ruler[0]) < 0.25


def test_changes_of_three_sessions_are_from_when_each_was_learned():
    """The second session was not yet learned after the first: its change counts from the second stage on."""
    from cortseq.scoring import forgetting

    rng = np.random.default_rng(8)
    sessions = [rec.from_counts(rng.poisson(rate, (20, 6, 2)), bin_width=0.02) for rate in (0.5, 1.5, 4.0)]
    fits = [[models.Null().fit(s, range(10), range(10, 14))] for s in sessions]
    tests = [[forgetting.Tested(s, range(14, 20), fit[0])] for s, fit in zip(sessions, fits, strict=True)]
    found = forgetting.table(["a", "b", "c"], fits, tests, burn_in=1).set_index(
        ["quantity", "learned", "tested"]
    )
    score = {key[1:]: row["value"] for key, row in found.iterrows() if key[0] == "score"}
    for later, earlier in (("b", "a"), ("c", "a"), ("c", "b")):
        change = score[later, earlier] - score[earlier, earlier]
        assert found.loc["change", later, earlier]["value"] == pytest.approx(change)
    assert score["c", "b"] - score["a", "b"] != pytest.approx(score["c", "b"] - score["b", "b"], abs=0.1)
    earlier = [score["c", x] - score[x, x] for x in "ab"]
    assert found.loc["BWT", "c", "earlier"]["value"] == pytest.approx(np.mean(earlier))
    assert found.loc["ACC", "c", "all"]["value"] == pytest.approx(np.mean([score["c", x] for x in "abc"]))


def test_figures_show_the_variants_that_are_best_on_validation():
    from cortseq.figures import base

    table = pd.DataFrame(
        {
            "dataset": ["d", "d", "d", "other"], "variant": ["a", "b", "c", "e"], "role": ["recurrent"] * 4,
            "chosen": [True, True, False, True], "valid": [0.1, 0.3, 0.9, 0.5], "test": [0.4, 0.2, 0.9, 0.5],
        }
    )  # fmt: skip
    assert base.chosen(table, "d", "recurrent") == ["b", "a"]


def test_a_best_model_without_restarts_in_one_fold_costs_the_other_fold_no_member():
    def scored(name, test, valid):
        arrays = {"test": np.array(test), "valid": np.array(valid), "cold": np.array(test)}
        events = np.ones(arrays["test"].shape[1])
        return Scored(
            name,
            name,
            {"role": "baseline"},
            test_events=events,
            valid_events=events,
            best=arrays["test"][0],
            **arrays,
        )

    hmm = [scored("hmm", [[-9.0], [-1.0]], [[-1.0], [-1.0]]), scored("hmm", [[0.0], [0.0]], [[-9.0], [-9.0]])]
    null = [scored("null", [[-5.0]], [[-5.0]]), scored("null", [[-4.0]], [[-5.0]])]
    best = compare.best([hmm, null])
    assert best.variant == "hmm/null" and best.test.tolist() == [[-9.0, -4.0], [-1.0, -4.0]]


@pytest.mark.parametrize(
    ("best", "epochs", "kept", "late"),
    [
        (
            [True, True, False, False],
            4,
            2,
            0.0,
        ),  # members that learn together: nothing is kept after one's patience
        ([True, True, True, True], 4, 4, 0.1),
        ([True, True, True, True], 9, 4, 0.0),  # ended by its patience, not by its budget
    ],
)
def test_the_kept_epoch_is_the_one_whose_weights_were_kept(best, epochs, kept, late):
    curves = pd.DataFrame(
        {"member": 0, "epoch": [1, 2, 3, 4], "valid_loss": [1.0, 0.9, 0.8, 0.7], "best": best}
    )
    found_kept, found_late = scored_module._ends(curves, epochs)
    assert found_kept.tolist() == [kept] and found_late == pytest.approx([late])
