"""Units, paired statistics, the comparison table."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, poisson

from cortseq import models, scoring
from cortseq.errors import CortseqError
from cortseq.scoring import compare, products
from cortseq.scoring.statistics import blocks_of, holm


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


def test_paired_difference_is_the_ratio_of_sums():
    a, b, n = np.array([-3.0, -2.0, -5.0]), np.array([-4.0, -4.0, -5.0]), np.array([2, 4, 6])
    assert scoring.paired_difference(a, b, n).estimate == pytest.approx(3 / (12 * np.log(2)))


def test_sign_flip_p_equals_enumeration():
    d = np.array([1.0, 2.0, -0.5, 3.0, 0.7])
    flips = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1)
    exact = (np.abs(flips.T @ d) >= d.sum() - 1e-12).mean()
    p = scoring.paired_difference(d, np.zeros(5), np.ones(5), resamples=40_000).p_value
    assert abs(p - exact) < 0.01


def test_interval_covers_and_test_keeps_its_level():
    """300 repetitions at no difference: coverage and level inside 99.9 % binomial limits."""
    rng = np.random.default_rng(1)
    inside = rejected = 0
    for repetition in range(300):
        n = rng.poisson(30, 80) + 1
        d = rng.normal(0, 1, 80) * np.sqrt(n)
        found = scoring.paired_difference(d, np.zeros(80), n, resamples=400, seed=repetition)
        inside += found.low <= 0 <= found.high
        rejected += found.p_value < 0.05
    assert binomtest(inside, 300, 0.95).pvalue > 0.001
    assert binomtest(rejected, 300, 0.05).pvalue > 0.001


def test_members_widen_the_interval():
    rng = np.random.default_rng(2)
    base = rng.normal(size=100)
    spread = base + np.array([[-0.5], [0.0], [0.5]])
    alone = scoring.paired_difference(base, np.zeros(100), np.ones(100))
    three = scoring.paired_difference(spread, np.zeros(100), np.ones(100))
    assert three.high - three.low > 1.5 * (alone.high - alone.low)


def test_holm_by_hand():
    assert np.allclose(holm(np.array([0.01, 0.04, 0.03, np.nan])), [0.03, 0.06, 0.06, np.nan], equal_nan=True)


def _table(recording, specifications):
    roles = {"train": [*range(20)], "valid": [*range(20, 26)], "test": [*range(26, 40)]}
    roles["units"] = [0, 1, 2]
    scored = []
    for variant, model, swept in specifications:
        fit = model.fit(recording, roles["train"], roles["valid"], members=2)
        score = products.scores(fit, recording, roles)
        scored.append(compare.gather(variant, variant.split("_")[0], swept, [fit.card], [score], 0))
    return compare.table("d", recording, [roles], scored, 0, 0)


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
    rows, _ = result
    frame = compare.finish(rows)
    assert list(frame["model"]) == ["null", "markov", "rate"]
    promised = (
        "dataset model family role metric value low high best_member gain_over_markov gain_low gain_high p_value "
        "detectable_gain parameters members settings_tried trials n_events bin_ms"
    ).split()
    assert set(promised) <= set(frame.columns)
    assert frame.set_index("model").loc["null", "value"] == 0
    assert frame.set_index("model").loc["markov", "settings_tried"] == 2 * 6


def test_variants_are_chosen_on_validation(result):
    chains = pd.DataFrame(result[1]).query("role == 'markov'")
    assert chains.loc[chains["valid"].idxmax(), "chosen"] and chains["chosen"].sum() == 1


def test_gain_is_the_difference_of_values(result):
    frame = compare.finish(result[0]).set_index("model")
    expected = frame.loc["rate", "value"] - frame.loc["markov", "value"]
    assert frame.loc["rate", "gain_over_markov"] == pytest.approx(expected)
    assert frame.loc["rate", "gain_low"] < expected < frame.loc["rate", "gain_high"]


def test_no_model_beats_the_mean_rate_is_said():
    rng = np.random.default_rng(3)
    from cortseq import recording as rec

    noise = rec.from_counts(rng.poisson(0.4, (40, 10, 3)), bin_width=0.02)
    rows, _ = _table(noise, [("null", models.Null(), {}), ("psth", models.Psth(), {})])
    assert compare.summary(compare.finish(rows)) == ["d: no model beats the mean rate."]


def test_burn_in_cuts_all_models_alike(counts):
    roles = {"train": [*range(20)], "valid": [*range(20, 26)], "test": [*range(26, 40)]}
    fit = models.Null().fit(counts, roles["train"], roles["valid"])
    score = products.scores(fit, counts, roles)
    (late,) = compare.gather("null", "null", {}, [fit.card], [score], 5)
    assert late.test.sum() == pytest.approx(np.nansum(fit.log_prob(counts, roles["test"])[..., 5:]))
    assert late.test_events.sum() == counts["counts"].values[26:, 5:].sum()


def test_neighbouring_windows_are_resampled_as_blocks():
    """Slowly drifting differences without a mean: trials as units reject far too often, blocks do not."""
    rng = np.random.default_rng(4)
    rejected = {False: 0, True: 0}
    for repetition in range(200):
        noise = rng.normal(size=260)
        drift = np.zeros(260)
        for t in range(1, 260):
            drift[t] = 0.6 * drift[t - 1] + noise[t]
        for continuous in rejected:
            blocks = blocks_of(np.arange(200), continuous)
            found = scoring.paired_difference(
                drift[60:], np.zeros(200), np.ones(200), 400, repetition, blocks=blocks
            )
            rejected[continuous] += found.p_value < 0.05
    assert rejected[False] > 50 and rejected[True] < 30


def test_blocks_are_runs_of_consecutive_windows():
    trials = [*range(10), *range(20, 24), 30]
    labels = blocks_of(trials, True)
    assert list(labels - labels[0]) == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4]
    assert list(blocks_of(trials, False)) == list(range(15))


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
    roles = {"train": [*range(20)], "valid": [*range(20, 26)], "test": [*range(26, 40)], "units": [0, 1, 2]}
    fit = models.Null().fit(counts, roles["train"], roles["valid"])
    scored = [compare.gather("null", "null", {}, [fit.card], [products.scores(fit, counts, roles)], 16)]
    with pytest.raises(CortseqError, match=r"burn_in.*got 16.*lower burn_in"):
        compare.table("d", counts, [roles], scored, 16, 0)
