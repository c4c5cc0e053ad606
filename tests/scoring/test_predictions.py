"""Tables of the prediction tasks: horizons, memory gain, free runs, held-out units; and their figures."""

import numpy as np
import pandas as pd
import pytest
from families import applicable

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data, evenly
from cortseq.errors import CortseqError
from cortseq.figures import generation as generation_figure
from cortseq.figures import horizon, ladder, memory, scores, units
from cortseq.models import horizons
from cortseq.networks.smoothers.bidirectional import Bidirectional
from cortseq.observations import TRACKS
from cortseq.products import Facts, Products
from cortseq.scoring import (
    benchmark_bits_per_spike,
    cosmoothing,
    futures,
    generation,
    paired_difference,
    products,
    tasks,
)

ROLES = {"train": list(range(20)), "valid": list(range(20, 26)), "test": list(range(26, 40))}


@pytest.fixture(scope="module")
def fits(counts):
    small = {"rate": {"hidden": 6, "epochs": 15, "batch": 8}}
    return {
        family: models.registry()[family](**small.get(family, {})).fit(
            counts, range(20), range(20, 26), members=2
        )
        for family in ("null", "psth", "markov", "rate")
    }


def forecasts(fits, recording, **more):
    return {
        family: [tasks.forecast(fits[family], recording, ROLES["test"], [1, 2, 50], 64, 0)]
        for family in ("null", "psth", "rate")
    }


# -- horizons ---------------------------------------------------------------------------------------


def test_horizon_table_is_the_paired_difference_on_common_bins(fits, counts):
    found = forecasts(fits, counts)
    table = tasks.horizon_table(found).set_index(["model", "kind", "horizon"]).sort_index()
    assert set(table.index.get_level_values("horizon")) == {1, 2}  # 50 bins ahead is past the end
    assert set(table.index.get_level_values("kind")) == {"exact", "sampled", "plug-in"}
    assert (table.loc["null", "value"] == 0).all()
    late = slice(1, None)  # what both horizons reach
    log_prob, null = (
        fits[f].log_prob(counts, ROLES["test"]).values[..., late].sum(-1) for f in ("rate", "null")
    )
    events = counts["counts"].values[26:, late].sum((1, 2))
    expected = paired_difference(log_prob, null, events)
    row = table.loc[("rate", "sampled", 1)]
    assert row[["value", "low", "high"]].tolist() == pytest.approx(
        [expected.estimate, expected.low, expected.high], rel=1e-12
    )
    assert table.loc[("psth", "exact", 1), "value"] == table.loc[("psth", "exact", 2), "value"]
    assert table.loc[("rate", "sampled", 1), "value"] > table.loc[("rate", "sampled", 2), "value"]


def test_forecasts_of_two_models_are_compared_bin_by_bin(fits, counts):
    """The difference from the null is the table's; that of two networks holds the bias of either."""
    found = forecasts(fits, counts)
    table = tasks.horizon_table(found)
    expected = table[(table["model"] == "rate") & (table["kind"] == "sampled")].reset_index(drop=True)
    direct = tasks.horizon_difference(found["rate"], found["null"])
    columns = ["horizon", "value", "low", "high", "p_value", "blocks", "biased", "trials"]
    pd.testing.assert_frame_equal(direct[columns], expected[columns])
    poor = [f.assign(bias=f["log_prob"] * 0 + 1.0) for f in found["rate"]]
    assert tasks.horizon_difference(found["psth"], poor)["biased"].all()
    assert tasks.horizon_difference(poor, found["psth"])["biased"].all()


def test_burn_in_and_folds_of_horizons(fits, counts):
    found = forecasts(fits, counts)
    late = tasks.horizon_table(found, burn_in=8)
    cut = {m: [f.isel(time=slice(8, None)) for f in folds] for m, folds in found.items()}
    direct = tasks._sums(cut["rate"], "log_prob", 0) - tasks._sums(cut["null"], "log_prob", 0)
    expected = direct[..., 0].mean(0).sum() / cut["null"][0]["n_events"].values.sum() / np.log(2)
    assert late.query("model == 'rate' and horizon == 1 and kind == 'sampled'")["value"].iloc[
        0
    ] == pytest.approx(expected)
    twice = tasks.horizon_table({m: folds * 2 for m, folds in found.items()})
    assert np.allclose(twice["value"], tasks.horizon_table(found)["value"]) and (twice["trials"] == 28).all()
    with pytest.raises(CortseqError, match="null"):
        tasks.horizon_table({"rate": found["rate"]})


def test_trials_that_end_before_the_horizon_are_not_counted(fits, counts):
    """Of 14 test trials four keep a bin: four blocks, p of 2^-3 at best, and no verdict on any horizon."""
    found = forecasts(fits, counts)
    for one in (f for folds in found.values() for f in folds):
        for name in {"log_prob", "bias", "plug_in"} & set(one):
            one[name].loc[{"trial": one["trial"][4:]}] = np.nan
        one["n_events"].loc[{"trial": one["trial"][4:]}] = 0
    table = tasks.horizon_table(found)
    rate = table[table["model"] == "rate"]
    assert (rate["trials"] == 4).all() and (rate["smallest_p"] == 1 / 8).all()
    assert (rate["p_value"] >= 1 / 8).all()


def test_models_that_forecast_other_bins_are_not_compared(fits, counts):
    """A bin without a forecast would count as one of probability 1."""
    found = forecasts(fits, counts)
    hole = found["rate"][0].copy(deep=True)
    hole["log_prob"].values[:, 3, 10] = np.nan
    with pytest.raises(CortseqError, match="same bins"):
        tasks.horizon_table(found | {"rate": [hole]})


def test_trials_of_forecasts_are_spread():
    assert evenly(range(100), 3).tolist() == [0, 50, 99]
    assert evenly([4, 7], 8).tolist() == [4, 7]


def test_of_short_trials_more_are_forecast():
    songs = rec.from_symbols([[0, 1, 0, 1, 1, 0]] * 100 + [[0, 1] * 50], n_symbols=2)
    chosen = tasks.forecast_trials(songs, range(100))
    assert len(chosen) == 50 and {0, 99} <= set(chosen)  # 300 bins, and not of the longest trial's length
    assert len(tasks.forecast_trials(songs, range(20))) == 20
    long = rec.from_symbols([[0, 1] * 30] * 40, n_symbols=2)
    assert len(tasks.forecast_trials(long, range(40))) == 8
    assert len(tasks.forecast_trials(songs, range(100), 5)) == 5  # what a study says is what is done


def test_horizons_suit_the_length_of_a_typical_trial():
    """One long trial among short ones does not bring horizons that hardly any trial has bins for."""
    rng = np.random.default_rng(0)
    songs = rec.from_symbols([*rng.integers(0, 2, (30, 6)), rng.integers(0, 2, 90)], n_symbols=2)
    fit = models.Markov(order=1).fit(songs, range(15), range(15, 20))
    found = tasks.forecast(fit, songs, range(20, 31), [1, 2, 3, 5, 20], 16, 0)
    assert found["horizon"].values.tolist() == [1, 2, 3]


def test_best_is_by_validation(fits, counts):
    scored = {name: products.scores(fits[name], counts, ROLES) for name in ("null", "rate")}
    assert tasks.best(scored, 0) == "rate"
    scored["null"]["log_prob"][:, (scored["null"]["role"] == "valid").values, 5:] = 0.0
    assert tasks.best(scored, 0) == tasks.best(scored, 5) == "null"
    scored["null"]["log_prob"][:, (scored["null"]["role"] == "valid").values, :5] = -1e6
    assert (tasks.best(scored, 0), tasks.best(scored, 5)) == ("rate", "null")


# -- memory -----------------------------------------------------------------------------------------


def test_memory_gain(fits, counts):
    found = tasks.recall(fits["rate"], counts, ROLES["test"])
    assert found["memory"].values.tolist() == [1, 2, 5, 10]
    table = tasks.memory_rerun([found]).set_index("memory")
    full = fits["rate"].log_prob(counts, ROLES["test"]).values
    events = counts["counts"].values[26:].sum()
    for i, k in enumerate(found["memory"].values):
        gain = (full - found["log_prob"].values[i]).sum() / len(full) / events / np.log(2)
        assert table.loc[k, "value"] == pytest.approx(gain)
    assert table.loc[1, "value"] > 0 and abs(table.loc[10, "value"]) < abs(table.loc[1, "value"])
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_memory_gain_of_a_retrained_network(fits, counts):
    short = (
        fits["rate"].model.model_copy(update={"memory": 2}).fit(counts, range(20), range(20, 26), members=2)
    )
    scored = [products.scores(f, counts, ROLES) for f in (fits["rate"], short)]
    row = tasks.memory_retrained([scored[0]], [scored[1]], 2, "counts", False)
    sums = [f.log_prob(counts, ROLES["test"]).values.sum(-1) for f in (fits["rate"], short)]
    expected = paired_difference(*sums, counts["counts"].values[26:].sum((1, 2)))
    assert (row["value"], row["low"], row["p_value"]) == (expected.estimate, expected.low, expected.p_value)
    assert row["kind"] == "re-trained" and row["memory"] == 2


# -- free runs --------------------------------------------------------------------------------------


def test_statistics_of_known_processes():
    rng = np.random.default_rng(0)
    y = rng.poisson([1.0, 4.0], (4000, 20, 2))
    valid = np.ones((4000, 20), bool)
    assert np.allclose(generation.fano(y, valid, 2), 1, atol=0.1)
    assert np.allclose(generation.means(y, valid, 2), [1, 4], atol=0.05)
    assert np.allclose(generation.correlations(y, valid, 2), 0, atol=0.02)
    assert np.ptp(generation.spectrum(y, valid, 2)) < 0.3  # white
    phi, ar = 0.8, rng.normal(size=(2000, 200, 1))
    for t in range(1, 200):
        ar[:, t] = phi * ar[:, t - 1] + np.sqrt(1 - phi**2) * ar[:, t]
    time = 2 ** generation.autocorrelation_time(ar, np.ones((2000, 200), bool), 1)[0]
    assert time == pytest.approx(1 / (1 - phi) - 0.5, rel=0.1)
    a = np.sqrt(0.5)
    pair = rng.normal(size=(500, 40, 1)) * a + rng.normal(size=(500, 40, 2)) * a
    assert np.allclose(generation.covariances(pair, np.ones((500, 40), bool), 2), [1, 0.5, 1], atol=0.05)


def test_statistics_of_symbols_by_hand():
    y = np.array([[0, 0, 1, 1, 1, 2], [2, 2, 0, 0, 0, 0]])
    valid = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]], bool)
    assert np.allclose(generation.frequencies(y, valid, 3), np.array([2, 3, 3]) / 8)
    pairs = generation.transitions(y, valid, 3).reshape(3, 3)
    assert np.allclose(pairs * 6, [[1, 1, 0], [0, 2, 1], [0, 0, 1]])
    triples = generation.motifs(y, valid, 3).reshape(3, 3, 3)
    assert triples[0, 0, 1] == triples[1, 1, 1] == 0.25 and triples.sum() == 1
    assert np.allclose(generation.repeats(y, valid, 3)[:4], [0.25, 0.5, 0.25, 0])


def test_a_model_that_is_the_truth_reaches_the_ruler(symbols):
    """Draws of a fitted chain as the recording: the chain is on the ruler, a constant is far from it."""
    chain = models.Markov(order=1).fit(symbols, range(20), range(20, 26))
    own = chain.simulate(400, 12, seed=1)
    null = models.Null().fit(symbols, range(20), range(20, 26))
    good, bad = (generation.compare(f, own, range(400)).set_index("statistic") for f in (chain, null))
    for name in ("label frequencies", "transitions", "3-label motifs", "repeats"):
        assert good.loc[name, "value"] < 1.5 * good.loc[name, "ruler"] + 0.01
    assert bad.loc["transitions", "value"] > 5 * bad.loc["transitions", "ruler"]
    assert (good["ruler"] == bad["ruler"]).all()


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("family", models.registry())
def test_every_track_is_compared(family, track, request):
    recording = request.getfixturevalue(track)
    fit = applicable(family, track).fit(recording, range(15), range(15, 20), members=2)
    table = generation.compare(fit, recording, range(20, 30))
    assert set(table["statistic"]) == set(generation.STATISTICS[track])
    assert set(table["member"]) == set(range(fit.card["members"])) and (
        table.query("measure != 'correlation'")["ruler"].notna().all()  # of two channels there is none
    )
    assert table.equals(generation.compare(fit, recording, range(20, 30)))


def test_trials_of_unequal_length_are_compared_over_the_bins_that_all_have():
    rng = np.random.default_rng(0)
    y = np.full((30, 40, 2), np.nan)
    for trial, length in zip(y, range(11, 41), strict=True):
        trial[:length] = rng.normal(size=(length, 2)).cumsum(0)
    ragged = rec.from_signal(y, bin_width=0.1)
    null = models.Null().fit(ragged, range(15), range(15, 20))
    table = generation.compare(null, ragged, range(30)).set_index(["statistic", "measure"])
    assert table.loc[("power spectrum", "octaves"), ["value", "ruler"]].notna().all(axis=None)
    assert table.loc[("channel spectra", "Hellinger distance"), "value"].item() > 0
    short = rec.from_signal(y[:, :11], bin_width=0.1)  # what lies beyond the shortest does not enter
    cut = generation.compare(null, short, range(30)).set_index(["statistic", "measure"])
    for name in (("power spectrum", "octaves"), ("channel spectra", "Hellinger distance")):
        assert cut.loc[name, "ruler"].item() == pytest.approx(table.loc[name, "ruler"].item())


def test_free_runs_under_inputs_are_those_of_the_same_trials(counts):
    """A stimulus that differs between trials: runs under that of each trial agree with it, others do not."""
    rng = np.random.default_rng(0)
    u = np.repeat(rng.integers(0, 2, (40, 1, 1)), 16, axis=1).astype(float)
    y = rng.poisson(np.where(u, 3.0, 0.3) * np.ones(3))
    driven = counts.isel(unit=slice(3)).assign(
        counts=(("trial", "time", "unit"), y), inputs=(("trial", "time", "input"), u)
    )
    fit = models.Glm(history=0, input_history=0).fit(driven, ROLES["train"], ROLES["valid"])
    found = generation.compare(fit, driven, ROLES["test"])
    blind = fit.simulate(14, 16, inputs=np.zeros((14, 16, 1)))["counts"].values
    seen = fit.simulate(14, 16, inputs=u[26:])["counts"].values
    assert len(found) and found["value"].notna().any()
    assert abs(seen.mean() - y[26:].mean()) < 0.3 < abs(blind.mean() - y[26:].mean())


# -- held-out units ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def population():
    """A population state that lasts four bins, seen by eight units that are each noisy."""
    rng = np.random.default_rng(0)
    phase = (np.arange(20)[None] // 4 + rng.integers(0, 2, (80, 1))) % 2
    rates = np.where(phase[..., None] == 1, [0.6, 0.1] * 4, [0.1, 0.6] * 4)
    return rec.from_counts(rng.poisson(rates), bin_width=0.02)


def test_held_out_units():
    inside, outside = cosmoothing.held_out_units(20, 3)
    assert len(outside) == 5 and sorted([*inside, *outside]) == list(range(20))
    assert not np.array_equal(outside, cosmoothing.held_out_units(20, 4)[1])
    with pytest.raises(CortseqError, match="two units"):
        cosmoothing.held_out_units(1, 0)


def test_cosmoothing_table(population):
    roles = {"train": range(50), "valid": range(50, 60), "test": range(60, 80)}
    table = cosmoothing.table(population, roles, members=1).set_index("smoother")
    assert not {"rate", "markov", "lstm"} & set(table.index)  # no causal filter
    assert table.loc["bidirectional", "low"] > 0.1 and abs(table.loc["psth", "over_training_mean"]) < 0.1
    spikes = population["counts"].values[60:][..., cosmoothing.held_out_units(8, 0)[1]].astype(float)
    mean = population["counts"].values[:50].mean((0, 1))[cosmoothing.held_out_units(8, 0)[1]]
    expected = benchmark_bits_per_spike(np.broadcast_to(mean, spikes.shape), spikes)
    assert table.loc["null", "value"] == pytest.approx(expected) and expected <= 0


def test_cosmoothing_is_for_counts(symbols):
    with pytest.raises(CortseqError, match="for counts"):
        cosmoothing.table(symbols, ROLES)


def test_the_bidirectional_network_sees_held_in_units_at_all_times(population):
    data = Data.of(population)
    train, valid, test = (data.at(slice(a, b)) for a, b in ((0, 50), (50, 60), (60, 64)))
    inside, outside = [0, 1, 2, 3, 4, 5], [6, 7]
    network = Bidirectional(hidden=8, epochs=4)
    before = network.rates(train, valid, test, inside, outside, seed=0)
    assert before.shape == (4, 20, 2)

    def changed(unit, bin):
        y = test.y.copy()
        y[:, bin, unit] += 5
        moved = Data(test.track, y, test.valid, None, test.bin_width, test.n_features)
        return np.abs(network.rates(train, valid, moved, inside, outside, seed=0) - before).max((0, 2))

    assert (changed(6, slice(None)) == 0).all()  # held-out spikes of test trials are not seen
    late = changed(0, 10)
    assert (late[8:13] > 0).all()  # the past, the bin itself, the future


def test_padding_does_not_reach_the_backward_pass(population):
    data = Data.of(population)
    train, valid, test = (data.at(slice(a, b)) for a, b in ((0, 50), (50, 60), (60, 64)))
    network, more = Bidirectional(hidden=8, epochs=2), np.full((4, 6, 8), 3)
    padded = Data(
        test.track, np.concatenate([test.y, more], 1), np.pad(test.valid, ((0, 0), (0, 6))), None, 0.02, 8
    )
    a, b = (network.rates(train, valid, d, range(6), [6, 7], 0) for d in (test, padded))
    assert np.allclose(a, b[:, :20], atol=1e-6)


# -- the bias of few futures ------------------------------------------------------------------------


def lognormal(sd):
    """Futures whose probabilities are exp(N(-3, sd^2)): the mean is known. (2 members, 30 trials, 40 bins, 1)"""

    def draw(samples, seed, begins):
        rng = np.random.default_rng([seed, samples])
        out = np.full((2, 30, 40, 1), np.nan)
        for member in range(2):
            logs = -3 + sd * rng.normal(size=(int(begins.sum()), samples))
            out[member, begins, 0] = np.logaddexp.reduce(logs, 1) - np.log(samples)
        return out

    return draw


@pytest.mark.parametrize("sd", [0.5, 1.5, 2.0])
def test_settled_forecasts_have_the_sum_of_the_truth(sd):
    """At sd 2 the logarithm of the mean of 64 is .30 too low, .10 after one jackknife, and here .01."""
    valid = np.ones((30, 40), bool)
    truth, draw = -3 + sd**2 / 2, lognormal(sd)
    found, bias, n = futures.settled(draw, valid, 64, 8192, 0, lambda log_prob, bias: False)
    assert n == 8192 and found.shape == bias.shape == (2, 30, 40, 1) and np.isfinite(found).all()
    plain, once = draw(64, 5, valid).mean(), futures.settled(draw, valid, 64, 0, 0, None)[0].mean()
    assert abs(found.mean() - truth) < 0.025 and abs(bias.mean()) < 0.01
    if sd > 1:
        assert truth - plain > 3 * abs(found.mean() - truth) and truth - plain > truth - once > 0.01


def test_futures_are_drawn_until_the_bias_is_small():
    valid, seen = np.ones((30, 40), bool), []

    def enough(log_prob, bias):
        seen.append(bias.mean())
        return bias.mean() < 0.02

    _, bias, n = futures.settled(lognormal(2.0), valid, 32, 2**20, 0, enough)
    assert bias.mean() == seen[-1] < 0.02 < min(seen[:-1]) and 64 < n < 2**20


def test_a_trial_is_forecast_up_to_its_last_bin():
    """No future begins after it, and where nothing is forecast nothing is added."""
    valid = np.ones((30, 40), bool)
    valid[3, 20:], valid[7, 5] = False, False
    begun = []

    def draw(samples, seed, begins):
        begun.append(begins)
        return lognormal(1.0)(samples, seed, begins)

    found, bias, _ = futures.settled(draw, valid, 32, 256, 0, lambda *_: False)
    assert not any(b[3, 20:].any() for b in begun) and begun[0][7, 5] and begun[0].sum() == 1180
    assert np.array_equal(np.isnan(found), np.isnan(bias)) and np.isnan(found[:, 3, 20:]).all()
    assert [int(b.sum()) for b in begun[2:]] == sorted((int(b.sum()) for b in begun[2:]), reverse=True)


def test_a_forecast_by_fit_is_jackknifed(fits, counts):
    fit, data = fits["rate"], Data.of(counts, ROLES["test"])
    one, other = (fit.model.forecast(fit.params, data, [1, 3], 8, s) for s in horizons.seeds(4, 2))
    both = np.log((np.exp(one) + np.exp(other)) / 2)
    found = fit.forecast(counts, [1, 3], ROLES["test"], 16, 4)
    assert np.allclose(found, 2 * both - (one + other) / 2, equal_nan=True)
    with pytest.raises(CortseqError, match="two futures"):
        fit.forecast(counts, [1, 3], ROLES["test"], 3)


def test_points_of_too_few_futures_are_marked(fits, counts, monkeypatch):
    """A bias of a tenth of the interval marks the row; with futures to draw it is below."""
    monkeypatch.setattr(tasks, "_SMALL", 0.01)  # eight futures are enough for a tenth of this wide interval
    null = products.scores(fits["null"], counts, ROLES)
    kept = {"rate": [tasks.forecast(fits["rate"], counts, ROLES["test"], [1, 2, 4], 8, 0, 4096, null)]}
    kept["null"] = [tasks.forecast(fits["null"], counts, ROLES["test"], [1, 2, 4], 8, 0)]
    table = tasks.horizon_table(kept)
    assert kept["rate"][0].attrs["samples"] > 8 and not table["biased"].any()
    drawn = table.query("kind == 'sampled' and horizon > 1")
    assert (drawn["bias"] > 0).all() and (drawn["bias"] < 0.01 * (drawn["high"] - drawn["low"])).all()
    assert (table.query("kind != 'sampled' or horizon == 1")["bias"] == 0).all()
    kept["rate"][0]["bias"] += 0.1
    assert tasks.horizon_table(kept).query("kind == 'sampled'")["biased"].all()


def test_the_nulls_scores_are_its_forecasts(fits, counts):
    scores = products.scores(fits["null"], counts, ROLES)
    direct = tasks.forecast(fits["null"], counts, ROLES["test"], [1, 3], 8, 0)
    floor = tasks._floor(scores, Data.of(counts, ROLES["test"]), ROLES["test"], [1, 3])
    assert np.array_equal(direct["log_prob"], floor["log_prob"], equal_nan=True)


def test_chains_over_population_states_are_called_label_chains(fits, counts, symbols):
    made = tasks.forecast(fits["markov"], counts, ROLES["test"], [1, 2], 8, 0)
    assert made.attrs["kind"] == "label chain"
    song = models.Markov(order=1).fit(symbols, range(20), range(20, 26))
    assert song.model.forecasts_on("symbols") == "exact"


# -- figures ----------------------------------------------------------------------------------------


def test_figures_draw_what_the_tables_say(fits, counts, tmp_path):
    from cortseq.figures import style

    table = tasks.horizon_table(forecasts(fits, counts))
    rerun = tasks.memory_rerun([tasks.recall(fits["rate"], counts, ROLES["test"])]).assign(model="rate")
    runs = pd.concat(
        generation.compare(fits[f], counts, ROLES["test"]).assign(model=f, role=fits[f].model.role)
        for f in ("psth", "markov", "rate")
    )
    comparison = pd.DataFrame(
        {
            "dataset": "d", "model": ["null", "markov", "rate", "rate_averaged"], "averaged": [False] * 3 + [True],
            "variant": ["null", "markov_order1", "rate", "rate"], "family": ["null", "markov", "rate", "rate"],
            "role": ["null", "markov", "recurrent", "recurrent"], "value": [0, 0.1, 0.2, 0.25],
            "low": [0, 0.05, 0.1, 0.1], "high": [0, 0.2, 0.3, 0.3], "ceiling": np.nan, "metric": "bits_per_spike",
            "rung": ["L0", "L1", "L4", "L4"],
        }
    )  # fmt: skip
    drawn = {
        "horizon": horizon.draw(table, "bits_per_spike"),
        "memory": memory.draw(rerun, "bits_per_spike"),
        "generation": generation_figure.draw(runs),
        "ladder": ladder.draw(comparison),
    }
    assert drawn["ladder"][1]["rung"].tolist() == ["L0", "L1", "L4", "L4"]
    panel = drawn["ladder"][0].axes[0]
    assert [t.get_text() for t in panel.get_yticklabels()] == ["null", "markov", "rate"]
    assert [t.get_text() for t in panel.texts] == ["L0", "L1", "L4"]
    rings = [line.get_xdata()[0] for line in panel.lines if line.get_markerfacecolor() == "none"]
    assert rings == [0.25]  # the members' mean prediction stands with its model
    for name, (figure, shown) in drawn.items():
        style.save(figure, shown, tmp_path / name)
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000 and len(shown)
    driven = counts.assign(inputs=(("trial", "time", "input"), np.zeros((40, 16, 1))))
    hmm = models.Hmm(states=2, iterations=2).fit(driven, ROLES["train"], ROLES["valid"])
    empty = generation.compare(hmm, driven, ROLES["test"])  # it cannot replay inputs
    assert generation_figure.draw(empty.assign(model="rate", role="recurrent"))[1].empty


def test_members_averaged_are_no_model_of_their_own(tmp_path):
    """Their mean prediction is no model of its own: beside models without members it would be an unequal rival."""
    names = {
        "model": ["rate", "rate_averaged"],
        "rung": "L7",
        "averaged": [False, True],
        "value": [0.1, 0.2],
        "verdict": ".",
    }
    pd.DataFrame(names).to_csv(tmp_path / "comparison.csv", index=False)
    given = Products.below(str(tmp_path), scores.FIGURE.needs, Facts())
    assert scores.FIGURE.read(given)["comparison"]["model"].tolist() == ["rate"]


def test_unit_scores_against_the_pooled_score(fits, counts):
    """Weighted by spikes, the units' scores of one member are the pooled mean-rate score."""
    names = ("null", "rate", "markov")
    folds = {name: [products.scores(fits[name], counts, ROLES)] for name in names}
    figure, table = units.draw(folds)
    y, rates, base = (
        counts["counts"].values[26:].astype(float),
        *(fits[n].predict(counts, ROLES["test"]).values for n in ("rate", "null")),
    )
    pooled = (y * np.log(rates / base) - rates + base).sum((1, 2, 3)).mean() / y.sum() / np.log(2)
    assert (table["rate"] * table["spikes"]).sum() / table["spikes"].sum() == pytest.approx(pooled)
    assert len(table) == 3 and len(figure.axes) == 1


def test_errors_ahead_stand_beside_the_plug_in_forecasts_of_signals(signal):
    fit = models.registry()["rate"].small().fit(signal, range(20), range(20, 26), members=2)
    null = models.Null().fit(signal, range(20), range(20, 26))
    found = {
        name: [tasks.forecast(one, signal, [26, 27], [1, 4], 8, 0)]
        for name, one in (("rate", fit), ("null", null))
    }
    table = tasks.horizon_table(found)
    plug = table[table["kind"] == "plug-in"].set_index("horizon")
    error = fit.squared_error(signal, [1, 4], [26, 27])[:, :, 3:]
    for i, h in enumerate((1, 4)):
        assert plug.loc[h, "rms_error"] == pytest.approx(np.sqrt(np.nanmean(error[..., i])))
    assert table.loc[table["kind"] != "plug-in", "rms_error"].isna().all()


def test_correlations_are_of_scored_test_bins(fits, counts):
    """Of each member, and of the members' mean expectation, from the end of the burn-in on."""
    found = products.scores(fits["rate"], counts, ROLES, burn_in=6)
    expected = fits["rate"].predict(counts, ROLES["test"]).values[:, :, 6:]
    seen = counts["valid"].values[ROLES["test"]][:, 6:]
    y = counts["counts"].values[ROLES["test"]][:, 6:][seen]
    for i, rate in enumerate([*expected, expected.mean(0)]):
        r = np.corrcoef(rate[seen].sum(1), y.sum(1))[0, 1]
        one = found["averaged_correlation"] if i == len(expected) else found["correlation"][i]
        assert one.values[0] == pytest.approx(r, abs=1e-9)
