"""Units, paired statistics, the comparison table."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from cortseq import models, scoring
from cortseq.errors import CortseqError
from cortseq.scoring import compare, printed, products, words
from cortseq.scoring.ladder import rung


def test_bits_per_spike_of_the_true_rate_in_closed_form():
    """r(t) = r0 (1 + m cos t): gain = E[(1 + m cos) log2(1 + m cos)] bits/spike, exact for m by quadrature."""
    t = np.arange(200_000) * 2 * np.pi / 1000
    rate = 0.5 * (1 + 0.8 * np.cos(t))
    y = np.random.default_rng(0).poisson(rate)
    found = scoring.bits_per_spike(poisson.logpmf(y, rate), poisson.logpmf(y, 0.5), y)
    phase = np.linspace(0, 2 * np.pi, 100_001)[:-1]
    shape = 1 + 0.8 * np.cos(phase)
    assert abs(found - (shape * np.log2(shape)).mean()) < 0.01


def test_bits_per_spike_needs_the_same_bins():
    with pytest.raises(CortseqError, match="same bins"):
        scoring.bits_per_spike([0.0, np.nan], [0.0, 0.0], 3)
    with pytest.raises(CortseqError, match="no spike"):
        scoring.bits_per_spike([0.0], [0.0], 0)


def test_benchmark_convention_by_hand():
    rates = np.array([[[0.5, 0.0], [1.5, 2.0]]])
    spikes = np.array([[[1.0, 0.0], [np.nan, 3.0]]])
    before = rates.copy(), spikes.copy()
    seen = [(0.5, 1, 1.0), (1e-9, 0, 1.5), (2.0, 3, 1.5)]  # rate, count, mean of the unit
    expected = sum(poisson.logpmf(k, r) - poisson.logpmf(k, m) for r, k, m in seen) / (4 * np.log(2))
    assert abs(scoring.benchmark_bits_per_spike(rates, spikes) - expected) < 1e-9
    assert np.array_equal(rates, before[0]) and np.array_equal(spikes, before[1], equal_nan=True)


ROLES = {"train": [*range(20)], "valid": [*range(20, 26)], "test": [*range(26, 40)], "units": [0, 1, 2]}


def _table(recording, specifications, burn_in=0, roles=ROLES, members=2):
    scored = []
    for variant, model, swept in specifications:
        fit = model.fit(recording, roles["train"], roles["valid"], members=members)
        score = products.scores(fit, recording, roles, burn_in)
        scored.append(compare.gather(variant, variant.split("_")[0], swept, [fit.card], [score], burn_in))
    return compare.table("d", recording, [roles], scored, burn_in, 0)


@pytest.fixture(scope="module")
def result(counts):
    return _table(
        counts,
        [
            ("null", models.Null(), {}),
            ("markov_states2", models.Markov(states=2), {"states": 2}),
            ("markov_states4", models.Markov(states=4), {"states": 4}),
            ("rate", models.Rate(hidden=8, epochs=40, batch=8), {}),
        ],
    )


def test_table_has_a_row_per_model_and_the_promised_columns(result):
    frame = compare.finish(result.rows)
    assert list(frame["model"]) == ["null", "markov", "rate", "rate_averaged"]
    promised = (
        "dataset model family role metric value low high best_member gain_over_markov gain_low gain_high p_value "
        "detectable_gain parameters members settings_tried trials n_events bin_ms"
    ).split()
    assert set(promised) <= set(frame.columns)
    assert frame.set_index("model").loc["null", "value"] == 0
    assert frame.set_index("model").loc["markov", "settings_tried"] == 2 * 6


def test_variants_are_chosen_on_validation(result):
    chains = pd.DataFrame(result.variants).query("role == 'markov'")
    assert chains.loc[chains["valid"].idxmax(), "chosen"] and chains["chosen"].sum() == 1


def test_gain_is_the_difference_of_values(result):
    frame = compare.finish(result.rows).set_index("model")
    expected = frame.loc["rate", "value"] - frame.loc["markov", "value"]
    assert frame.loc["rate", "gain_over_markov"] == pytest.approx(expected)
    assert frame.loc["rate", "gain_low"] < expected < frame.loc["rate", "gain_high"]


def test_a_ceiling_is_that_of_all_folds_or_none(counts):
    """A fold that dropped a unit has no exact filter, and the others' alone must not be divided by all events."""
    known = counts.assign(ceiling=(("trial", "time"), np.full((40, 16), -1.0)))
    folds = [ROLES, {**ROLES, "test": ROLES["valid"], "units": [0, 1]}]
    null = compare.Scored("null", "null", {"role": "null"}, test=np.zeros((1, 20)), test_events=np.ones(20))
    both, one = compare._limits(known, folds, null, 0), compare._limits(known, folds[:1], null, 0)
    assert np.isnan(both["ceiling"]) and one["ceiling"] == pytest.approx(-14 * 16 / 20 / np.log(2))


def test_no_model_beats_the_mean_rate_is_said():
    rng = np.random.default_rng(3)
    from cortseq import recording as rec

    noise = rec.from_counts(rng.poisson(0.4, (40, 10, 3)), bin_width=0.02)
    rows = _table(noise, [("null", models.Null(), {}), ("psth", models.Psth(), {})]).rows
    assert words.summary(compare.finish(rows)) == ["d: no model is shown to beat the null."]


def test_a_chain_that_loses_to_the_null_is_nothing_to_beat():
    """Homogeneous Poisson spikes and a chain that over-fits: a network at the null has beaten no one."""
    from cortseq import recording as rec

    rng = np.random.default_rng(7)
    noise = rec.from_counts(rng.poisson(0.4, (80, 20, 6)), bin_width=0.02)
    roles = {"train": [*range(6)], "valid": [*range(6, 30)], "test": [*range(30, 80)], "units": [*range(6)]}
    specifications = [
        ("null", models.Null(), {}),
        ("markov", models.Markov(states=16, order=1), {}),
        ("rate", models.Rate(hidden=4, epochs=3, batch=4), {}),
    ]
    frame = compare.finish(_table(noise, specifications, roles=roles, members=3).rows).set_index("model")
    assert frame.loc["markov", "high"] < 0 and frame.loc["rate", "value"] > frame.loc["markov", "value"]
    assert frame.loc["rate", "reference"] == frame.loc["rate", "rival"] == "null"
    assert frame.loc["rate", "gain_over_markov"] == pytest.approx(frame.loc["rate", "value"])
    assert frame.loc["markov", "against_null"] == frame.loc["markov", "against_chain"] == "worse"
    (line,) = words.summary(frame.reset_index())
    assert "no network beats the mean rate" in line and "chain" not in line
    assert "It is not shown to have learned anything" in frame.loc["rate", "verdict"]


def test_kept_epochs_and_late_gains_are_read_from_the_curves(counts):
    """Two members over ten epochs: one is best in epoch 2, the other still gains 0.3 nats in the last one."""
    fit = models.Null().fit(counts, ROLES["train"], ROLES["valid"])
    score = products.scores(fit, counts, ROLES)
    early, late = np.full(10, 2.0), np.linspace(2.0, 1.1, 10) - np.r_[np.zeros(9), 0.2]
    early[1] = 1.5
    curves = pd.concat(
        pd.DataFrame({"member": m, "epoch": range(1, 11), "valid_loss": loss}).assign(
            best=loss == np.minimum.accumulate(loss)
        )
        for m, loss in enumerate((early, late))
    )
    (found,) = compare.gather("null", "null", {}, [fit.card], [score], 0, [curves])
    assert found.kept_epochs.tolist() == [2, 10] and found.late_gains == pytest.approx([0, 0.3])
    whole = compare.join([found, found])
    assert whole.kept_epochs.tolist() == [2, 10, 2, 10]
    # a fit that began with an earlier one is validated before its first step: it may keep what it had
    (found,) = compare.gather(
        "null", "null", {}, [fit.card], [score], 0, [curves.assign(epoch=curves["epoch"] - 1)]
    )
    assert not len(found.kept_epochs) and len(found.late_gains) == 2


def test_burn_in_cuts_all_models_alike(counts):
    fit = models.Null().fit(counts, ROLES["train"], ROLES["valid"])
    score = products.scores(fit, counts, ROLES, 5)
    (late,) = compare.gather("null", "null", {}, [fit.card], [score], 5)
    assert late.test.sum() == pytest.approx(np.nansum(fit.log_prob(counts, ROLES["test"]).values[..., 5:]))
    assert late.cold.sum() == pytest.approx(np.nansum(fit.log_prob(counts, ROLES["test"]).values))
    with pytest.raises(CortseqError, match="another burn-in"):
        compare.gather("null", "null", {}, [fit.card], [score], 4)
    assert late.test_events.sum() == counts["counts"].values[26:, 5:].sum()


def test_each_fold_chooses_for_itself():
    """Validation trials of one fold are test trials of another: the choice must not cross folds."""

    def scored(variant, valid, test):
        return [
            compare.Scored(
                variant,
                "m",
                {"role": "markov", "model": {"family": "markov"}, "parameters": 1},
                test=np.full((1, 2), float(t)),
                valid=np.full((1, 2), float(v)),
                test_events=np.ones(2),
                valid_events=np.ones(2),
                best=np.full(2, float(t)),
            )
            for v, t in zip(valid, test, strict=True)
        ]

    a, b = scored("m_a", valid=(1, 0), test=(10, 20)), scored("m_b", valid=(0, 1), test=(30, 40))
    whole = compare.join([compare.choose([a[f], b[f]]) for f in range(2)])
    assert whole.variant == "m_a/m_b" and list(whole.test[0]) == [10, 10, 40, 40]


def test_a_burn_in_that_leaves_nothing_is_refused(counts):
    with pytest.raises(CortseqError, match=r"burn_in.*got 16.*lower burn_in"):
        _table(counts, [("null", models.Null(), {})], burn_in=16)


# -- scores in other conventions -------------------------------------------------------------------


def _published(rates, spikes):
    """Pei et al. 2021, equation for bits/spike, one number at a time."""
    n_trials, n_time, n_units = spikes.shape
    total = n_spikes = 0.0
    for n in range(n_units):
        seen = [
            (float(rates[r, t, n]), float(spikes[r, t, n]))
            for r in range(n_trials)
            for t in range(n_time)
            if not math.isnan(spikes[r, t, n])
        ]
        if not seen:
            continue
        mean = sum(y for _, y in seen) / len(seen)
        n_spikes += sum(y for _, y in seen)
        for rate, y in seen:
            for value, sign in ((rate, 1), (mean, -1)):
                value = value if value != 0 else 1e-9
                total += sign * (y * math.log(value) - value - math.lgamma(y + 1))
    return total / n_spikes / math.log(2)


def test_benchmark_convention_equals_the_published_definition():
    """Zero rates, a silent unit, NaN masks, a unit without data, and a slice of held-out units."""
    rng = np.random.default_rng(5)
    rates = rng.gamma(1.0, 0.5, (7, 11, 6)) * (rng.random((7, 11, 6)) > 0.1)
    spikes = rng.poisson(0.4, rates.shape).astype(float)
    spikes[..., 1] = 0
    spikes[rng.random(spikes.shape) < 0.2] = np.nan
    spikes[..., 2] = np.nan
    before = rates.copy(), spikes.copy()
    assert abs(scoring.benchmark_bits_per_spike(rates, spikes) - _published(rates, spikes)) < 1e-9
    held_out = slice(3, 6)
    found = scoring.benchmark_bits_per_spike(rates[..., held_out], spikes[..., held_out])
    assert abs(found - _published(rates[..., held_out], spikes[..., held_out])) < 1e-9
    assert np.array_equal(rates, before[0]) and np.array_equal(spikes, before[1], equal_nan=True)
    with pytest.raises(CortseqError, match=">= 0"):
        scoring.benchmark_bits_per_spike(-rates, np.ones_like(rates))
    with pytest.raises(CortseqError, match="no spike"):
        scoring.benchmark_bits_per_spike(rates, np.zeros_like(rates))


def test_mean_rate_over_the_evaluation_null_is_the_benchmark_number(counts, result):
    row = compare.finish(result.rows).set_index("model").loc["markov"]
    fit = models.Markov(states=int(row["variant"][-1])).fit(counts, ROLES["train"], ROLES["valid"])
    spikes = counts["counts"].values[ROLES["test"]].astype(float)
    expected = scoring.benchmark_bits_per_spike(fit.predict(counts, ROLES["test"]).values[0], spikes)
    assert row["mean_rate_evaluation_null"] == pytest.approx(expected, abs=1e-9)
    null = poisson.logpmf(spikes, counts["counts"].values[:20].mean((0, 1))).sum()
    rates = fit.predict(counts, ROLES["test"]).values[0]
    gain = (poisson.logpmf(spikes, rates).sum() - null) / (spikes.sum() * np.log(2))
    assert row["mean_rate"] == pytest.approx(gain, abs=1e-9)
    assert row["value"] > row["mean_rate"] + 0.01  # a mixture knows that units go together


def test_mean_over_units_leaves_silent_ones_out(counts):
    quiet = counts.copy(deep=True)
    quiet["counts"].values[26:, :, 1] = 0
    rows = compare.finish(
        _table(quiet, [("null", models.Null(), {}), ("psth", models.Psth(), {})]).rows
    ).set_index("model")
    fit = models.Psth().fit(quiet, ROLES["train"], ROLES["valid"])
    y, rates = quiet["counts"].values[26:], fit.predict(quiet, ROLES["test"]).values[0]
    mean = quiet["counts"].values[:20].mean((0, 1))
    each = [
        (poisson.logpmf(y[..., n], rates[..., n]) - poisson.logpmf(y[..., n], mean[n])).sum()
        / (y[..., n].sum() * np.log(2))
        for n in (0, 2)
    ]
    assert rows.loc["psth", "unit_mean"] == pytest.approx(np.mean(each), abs=1e-9)
    assert (rows["units_scored"] == 2).all() and (rows["units_silent"] == 1).all()


def test_averaged_members_are_an_extra_row_outside_the_tests(counts, result):
    frame = compare.finish(result.rows).set_index("model")
    fit = models.Rate(hidden=8, epochs=40, batch=8).fit(counts, ROLES["train"], ROLES["valid"], members=2)
    null = models.Null().fit(counts, ROLES["train"], ROLES["valid"])
    p = np.exp(fit.log_prob(counts, ROLES["test"]).values).mean(0)
    spikes = counts["counts"].values[26:].sum()
    gain = (np.log(p).sum() - null.log_prob(counts, ROLES["test"]).values.sum()) / (spikes * np.log(2))
    mean = frame.loc["rate_averaged"]
    assert mean["value"] == pytest.approx(gain) and mean["averaged"] and mean["members"] == 1
    assert mean["value"] >= frame.loc["rate", "value"]  # Jensen
    assert np.isnan(mean["p_holm"]) and mean["against_chain"] == ""
    assert frame.loc["rate", "p_holm"] == frame.loc["rate", "p_value"]
    rates = fit.predict(counts, ROLES["test"]).values.mean(0)
    benchmark = scoring.benchmark_bits_per_spike(rates, counts["counts"].values[26:].astype(float))
    assert mean["mean_rate_evaluation_null"] == pytest.approx(benchmark, abs=1e-9)
    shown = printed.text(compare.finish(result.rows))
    assert "rate (averaged)" in shown and "extra row" in shown
    assert not any("averaged" in line for line in words.summary(compare.finish(result.rows)))


def test_null_of_the_evaluated_trials_is_harder_to_beat(result, symbols, signal):
    frame = compare.finish(result.rows)
    assert (frame["value_evaluation_null"] < frame["value"]).all()
    roles = {"train": [*range(15)], "valid": [*range(15, 20)], "test": [*range(20, 30)]}
    for recording in (symbols, signal):
        rows = compare.finish(_table(recording, [("null", models.Null(), {})], roles=roles).rows)
        assert rows["value"][0] == 0 and rows["value_evaluation_null"][0] < 0


def test_a_cold_start_is_scored_beside_the_burn_in(counts):
    specifications = [("null", models.Null(), {}), ("psth", models.Psth(), {})]
    warm, cold = (
        compare.finish(_table(counts, specifications, burn_in).rows).set_index("model") for burn_in in (5, 0)
    )
    assert warm.loc["psth", "value_cold"] == pytest.approx(cold.loc["psth", "value"])
    assert warm.loc["psth", "value"] != pytest.approx(cold.loc["psth", "value"])
    np.testing.assert_allclose(cold["value_cold"], cold["value"], rtol=1e-12)


@pytest.mark.parametrize(
    ("spec", "role", "chosen", "expected"),
    [
        ({"family": "null"}, "null", False, "L0"),
        ({"family": "psth"}, "baseline", False, "L0'"),
        ({"family": "persistence"}, "baseline", False, "L0'"),
        ({"family": "markov", "order": 1}, "markov", False, "L1"),
        ({"family": "markov", "order": 1}, "markov", True, "L2"),
        ({"family": "markov", "order": 3}, "markov", False, "L2"),
        ({"family": "ctw", "depth": 8}, "markov", False, "L2"),
        ({"family": "hmm"}, "baseline", False, "L3"),
        ({"family": "lstm", "discretise": 16}, "recurrent", False, "L4"),
        ({"family": "glm"}, "baseline", False, "L5"),
        ({"family": "glm", "history": 0}, "baseline", False, "L0'"),
        ({"family": "lstm", "memory": 4, "discretise": None}, "recurrent", False, "L6"),
        ({"family": "lstm", "memory": None}, "recurrent", False, "L7"),
    ],
)
def test_rungs(spec, role, chosen, expected):
    assert rung(spec, role, chosen) == expected


def test_recordings_of_one_metric_are_pooled(result):
    twice = [*result.sessions, *[s | {"dataset": "e"} for s in result.sessions]]
    pooled = compare.sessions(twice).set_index("model")
    value = compare.finish(result.rows).set_index("model")["value"]
    assert list(pooled.index) == ["markov", "rate"] and (pooled["sessions"] == 2).all()
    assert np.allclose(pooled["value"], value[pooled.index])
    assert compare.sessions(result.sessions).empty


def test_budget_ends_at_the_chosen_variant(result):
    """Drawn often enough, the best on validation is nearly always among the settings tried."""
    budget = pd.DataFrame(result.budget).query("model == 'markov'")
    chains = pd.DataFrame(result.variants).query("role == 'markov'").sort_values("valid")
    low, high = chains["test"]
    assert budget["expected_test"].tolist() == pytest.approx([(low + high) / 2, low / 4 + 3 * high / 4])


def test_every_column_is_explained(result):
    frame = compare.finish(result.rows)
    assert list(frame.columns) == list(compare.COLUMNS) and all(compare.COLUMNS.values())


def test_the_best_chain_is_not_pooled_over_itself(result):
    twice = [*result.sessions, *result.sessions]
    pooled = compare.sessions(twice).set_index("model")
    assert np.isnan(pooled.loc["markov", "gain_over_markov"])
    gain = compare.finish(result.rows).set_index("model").loc["rate", "gain_over_markov"]
    assert pooled.loc["rate", "gain_over_markov"] == pytest.approx(gain)
