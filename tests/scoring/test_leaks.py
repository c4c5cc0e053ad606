"""Planted leaks, each of which an audit or an assertion must stop, and clean runs, which none may."""

import json
from typing import ClassVar

import numpy as np
import pytest
from families import small
from scipy.ndimage import gaussian_filter1d

from cortseq import models, splits
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.chains import chain, encoder
from cortseq.observations import TRACKS
from cortseq.scoring import audits, compare, input_audits, probes, products
from cortseq.sources.base import Source

ROLES = {"train": list(range(20)), "valid": list(range(20, 26)), "test": list(range(26, 40))}


def stopped(*found):
    """The detail of the audit that stops, None where all pass."""
    try:
        audits.report(list(found))
    except CortseqError as error:
        return str(error)
    return None


# -- 1, 2, 3: the future, the present and smoothing ------------------------------------------------


class Acausal(models.Markov):
    """Population states from counts that were smoothed over bins before and after."""

    def _blurred(self, data):
        y = gaussian_filter1d(data.y.astype(float), 2, axis=1)
        return Data(data.track, y, data.valid, data.inputs, data.bin_width, data.n_features)

    def log_prob(self, params, data):
        p = {k: v[0] for k, v in params.items()}
        rows = _rows(p, encoder.labels(p, self._blurred(data)), data.valid, self.states)
        likelihood, peak = encoder.likelihood(p, data)
        return (np.log((rows * likelihood).sum(-1)) + peak)[None]


def _rows(p, labels, valid, m):
    """P(state of the next bin | context), (trial, time, state)."""
    model = chain.Chain(p, m)
    return model.rows(model.contexts(labels, valid))


class Shifted(models.Null):
    """Predicts bin t from bin t + ahead."""

    def _rates(self, data):
        return np.roll(data.y, -self.ahead, axis=1) + 0.1

    def log_prob(self, params, data):
        rate = self._rates(data)
        return (data.y * np.log(rate) - rate).sum(-1)[None]

    def predict(self, params, data):
        return self._rates(data)[None]


class Present(Shifted):
    ahead: ClassVar = 0


class Future(Shifted):
    ahead: ClassVar = 1


def test_normalisation_passes_over_bins_of_more_spikes_than_can_be_summed(monkeypatch):
    """An input far from what was learned makes a model expect thousands of spikes, which is no fault of it."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(30, 12, 1))
    y = rng.poisson(0.5 * np.exp(0.8 * u) * np.ones(2))
    u[20:29] = 40.0
    recording = rec.from_counts(y, bin_width=0.02, inputs=u)
    roles = {"train": range(30), "valid": range(20, 30), "test": range(20, 30)}
    fit = models.Hmm(states=2).fit(recording, range(20), range(20, 30))
    for seed in range(8):
        found = probes.normalisation("hmm", fit, recording, roles, seed)
        assert found.detail == "hmm: all outcomes of a bin have probability 1.000000 to 1.000000"
    monkeypatch.setattr(
        probes, "_TRIED", 1
    )  # where no other bin is looked at, some seeds find none to sum over
    tried = [probes.normalisation("hmm", fit, recording, roles, s).detail for s in range(8)]
    assert any("not tried (expected counts are too high" in detail for detail in tried)


@pytest.mark.parametrize("model", [Acausal(states=3), Present(), Future()])
def test_a_model_that_looks_ahead(model, counts):
    fit = model.fit(counts, ROLES["train"], ROLES["valid"])
    assert "trial" in stopped(audits.causality("leaky", fit, counts, ROLES["test"]))


def test_acausal_smoothing_of_counts(counts):
    blurred = counts.assign(
        counts=(counts["counts"].dims, gaussian_filter1d(counts["counts"].values * 1.0, 2, axis=1))
    )
    assert "no whole numbers" in stopped(*audits.observed(blurred))
    with pytest.raises(CortseqError, match="whole numbers"):
        rec.from_counts(blurred["counts"].values, bin_width=0.02)


# -- 4 to 7: transforms that saw test trials -------------------------------------------------------


class Whole(models.Markov):
    """Hands `learn` a training set of all trials."""

    def fit(self, recording, train, valid, **run):
        fit = super().fit(recording, train, valid, **run)
        whole = Data.of(recording)
        params = {k: v[0] for k, v in fit.params.items()}
        centroids = encoder.learn(whole, float(params["decay"][0]), self.states, 1, 0)[0]["centroids"]
        return models.base.Fit(self, {**fit.params, "centroids": centroids[None]}, fit.card, fit.curves)


class Normed(models.Rate):
    """A network whose z-score comes from all trials."""

    def fit(self, recording, train, valid, **run):
        fit = super().fit(recording, train, valid, **run)
        y = rec.observations(recording)[recording["valid"].values]
        scale = fit.params["signal_scale"].new_tensor(y.std(0)).expand_as(fit.params["signal_scale"])
        return models.base.Fit(self, {**fit.params, "signal_scale": scale.clone()}, fit.card, fit.curves)


class Peeking(models.Markov):
    """Chooses the number of states on the trials it should not know."""

    def fit(self, recording, train, valid, **run):
        rest = np.setdiff1d(np.arange(recording.sizes["trial"]), [*train, *valid])
        fits = [models.Markov(states=k, restarts=1).fit(recording, train, valid, **run) for k in (2, 9)]
        judged = rest if len(rest) else list(valid)
        best = max(fits, key=lambda f: np.nansum(f.log_prob(recording, judged).values))
        return models.base.Fit(self, best.params, best.card, best.curves)


def test_k_means_of_all_trials(counts):
    fit = Whole(states=3, restarts=1).fit(counts, ROLES["train"], ROLES["valid"])
    assert "centroids does not come out again" in stopped(probes.refit("leaky", fit, counts, ROLES))


def test_z_score_inside_a_model_from_all_trials(signal):
    roles = {"train": list(range(15)), "valid": list(range(15, 20)), "test": list(range(20, 30))}
    fit = Normed(hidden=4, epochs=2).fit(signal, roles["train"], roles["valid"])
    assert "signal_scale does not come out again" in stopped(probes.refit("leaky", fit, signal, roles))


def test_z_score_before_the_fit_from_all_trials(signal):
    y = rec.observations(signal)
    scored = rec.from_signal((y - y.mean((0, 1))) / y.std((0, 1)), bin_width=0.6)
    roles = {"train": list(range(15)), "valid": list(range(15, 20)), "test": list(range(20, 30))}
    fit = models.Null().fit(scored, roles["train"], roles["valid"])
    assert "not what the trials" in stopped(audits.provenance("leaky", fit, roles, signal))
    (seen,) = audits.observed(scored)
    assert not seen.passed and not seen.stopping


def test_number_of_states_chosen_on_test_inside_a_model():
    """Test trials that a chain of nine states fits badly, validation trials that it fits well."""
    rng = np.random.default_rng(0)
    many = rng.integers(0, 9, (40, 1)) * np.ones((1, 16), int)
    rates = np.eye(9)[many] * 6 + 0.05
    rates[26:] = 0.7
    recording = rec.from_counts(rng.poisson(rates), bin_width=0.02)
    fit = Peeking().fit(recording, ROLES["train"], ROLES["valid"])
    assert len(fit.params["centroids"][0]) == 2
    assert "does not come out again" in stopped(probes.refit("leaky", fit, recording, ROLES))


def test_number_of_states_chosen_on_test_in_the_table(counts):
    fits = {
        f"markov_states{k}": models.Markov(states=k).fit(counts, ROLES["train"], ROLES["valid"])
        for k in (2, 5)
    }
    scores = {name: ("markov", [products.scores(f, counts, ROLES)]) for name, f in fits.items()}
    best = max(fits, key=lambda n: np.nansum(fits[n].log_prob(counts, ROLES["valid"]).values))
    (other,) = set(fits) - {best}
    row = {"model": "markov", "averaged": False}
    assert stopped(audits.choice([row | {"variant": best}], scores, 0)) is None
    assert f"{best} is best on validation" in stopped(audits.choice([row | {"variant": other}], scores, 0))


# -- 8 to 11: who learns from what -----------------------------------------------------------------


def test_one_trial_in_two_roles(counts):
    assert "trial 19 is in both" in stopped(*audits.overlap(counts, {**ROLES, "test": [19, 30]}))


def _windows(step: int, track="counts", start=True):
    """40 windows of 40 bins every `step` bins of one stretch of noise."""
    rng = np.random.default_rng(1)
    y = rng.poisson(0.6, (40 * 40, 5)) if track == "counts" else rng.normal(size=(40 * 40, 2))
    first = np.arange(40) * step
    edges = {"start": ("trial", first * 0.02), "stop": ("trial", (first + 40) * 0.02)} if start else {}
    build = rec.from_counts if track == "counts" else rec.from_signal
    return build(np.stack([y[f : f + 40] for f in first]), bin_width=0.02, coords=edges)


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("track", ["counts", "signal"])
def test_overlapping_windows(track, start):
    assert stopped(*audits.overlap(_windows(40, track, start), ROLES)) is None
    overlapping = audits.overlap(_windows(13, track, start), ROLES)
    assert ("share raw time" if start else "shifted") in stopped(*overlapping)


def test_a_continuous_recording_needs_its_times():
    assert "without `start`" in stopped(
        *audits.overlap(_windows(40, start=False).assign_attrs(continuous=1), ROLES)
    )


def test_shuffled_time_in_folds_of_a_continuous_recording():
    whole = _windows(40).assign_attrs(continuous=1)
    manifest = splits.split(whole, splits.Deal(), Source.model_construct(source="x", covariates={}), "d")
    assert stopped(audits.blocks(whole, manifest["folds"][0])) is None
    shuffled = np.random.default_rng(0).permutation(40)
    roles = {
        "train": shuffled[:20].tolist(),
        "valid": shuffled[20:26].tolist(),
        "test": shuffled[26:].tolist(),
        "guard": [],
    }
    assert "no guard between them" in stopped(audits.blocks(whole, roles))
    # the same when the windows themselves are out of order and roles look contiguous
    moved = whole.isel(trial=shuffled)
    roles = {"train": [*range(20)], "valid": [*range(21, 26)], "test": [*range(27, 40)], "guard": [20, 26]}
    assert "no guard between them" in stopped(audits.blocks(moved, roles))


def test_unit_selection_on_test_rate(counts):
    late = counts.copy(deep=True)
    late["counts"].values[26:] = late["counts"].values[26:, :, ::-1] * [1, 1, 9]
    manifest = {"selection": {"min_rate_hz": 0.0, "max_units": 2}, "folds": [dict(ROLES)]}
    train, test = (late["counts"].values[ROLES[r]].sum((0, 1)) for r in ("train", "test"))
    manifest["folds"][0]["units"] = np.sort(np.argsort(-train)[:2]).tolist()
    assert stopped(audits.selection(late, manifest, 0)) is None
    manifest["folds"][0]["units"] = np.sort(np.argsort(-test)[:2]).tolist()
    assert "against its rate in the training trials" in stopped(audits.selection(late, manifest, 0))


# -- 12 to 15: inputs ------------------------------------------------------------------------------


def _with_inputs(recording, u, **coords):
    out = recording.assign(inputs=(("trial", "time", "input"), np.asarray(u, float)))
    return out.assign_coords(**coords)


def test_inputs_that_are_observations(counts):
    y = counts["counts"].values
    total = y.sum(-1, keepdims=True)
    past = np.concatenate([0 * total[:, :1], total[:, :-1]], 1)
    future = np.concatenate([total[:, 1:], 0 * total[:, :1]], 1)
    blurred = gaussian_filter1d(y[..., :1].astype(float), 1.0, axis=1, truncate=3)
    noise = np.random.default_rng(2).normal(size=past.shape)
    stimulus = y[..., :1] + noise  # what a unit follows, and that with it is no leak
    for leak in (total, future, blurred):
        assert "present or future observations" in stopped(*input_audits.inputs(_with_inputs(counts, leak)))
    for honest in (past, noise, stimulus):
        assert stopped(*input_audits.inputs(_with_inputs(counts, honest))) is None


def test_an_outcome_as_input(counts):
    went = counts["counts"].values[:, -4:, 0].sum(1) > 3
    held = np.repeat(went[:, None, None] * 1.0, 16, axis=1)
    labelled = counts.assign_coords(choice=("trial", np.where(went, "left", "right")))
    labelled.attrs["covariates"] = ["choice"]
    assert "is the outcome choice" in stopped(*input_audits.inputs(_with_inputs(labelled, held)))
    target = labelled.rename(choice="target")
    target.attrs["covariates"] = ["target"]
    assert stopped(*input_audits.inputs(_with_inputs(target, held))) is None
    named = target.assign_attrs(outcomes=["target"])
    assert "is the outcome target" in stopped(*input_audits.inputs(_with_inputs(named, held)))


def test_an_outcome_by_name_is_an_input_from_its_time_on_only(counts):
    """Its value differs from trial to trial and is no covariate: only its name and its source tell."""
    held = np.repeat(np.random.default_rng(3).normal(size=(40, 1, 1)), 16, axis=1)
    for made, said in (
        ({"of": "x", "value": "reward"}, "is the outcome reward, seen from the first bin on"),
        ({"of": "choice", "label": "side"}, "is the outcome side"),
        ({"of": "x", "value": "reward", "from": "reward_time"}, None),
        ({"of": "x", "value": "contrast"}, None),
        ({"of": "reward", "event": "reward_time"}, None),
    ):
        known = _with_inputs(counts, held, input=["x"]).assign_attrs(inputs=json.dumps({"x": made}))
        found = stopped(*input_audits.inputs(known))
        assert found is None if said is None else said in found


def test_an_input_before_its_time(counts):
    u = np.zeros((40, 16, 1))
    u[:, 6:, 0] = np.random.default_rng(3).normal(size=(40, 1))
    known = _with_inputs(counts, u, available=("input", [0.12]))
    assert stopped(*input_audits.inputs(known)) is None
    early = known.assign_coords(available=("input", [0.2]))
    assert "before the time it is available" in stopped(*input_audits.inputs(early))


# -- 16, 17: scores --------------------------------------------------------------------------------


def test_burn_in_that_differs_between_models(counts):
    fit = models.Null().fit(counts, ROLES["train"], ROLES["valid"])
    a, b = (products.scores(fit, counts, ROLES, burn_in) for burn_in in (0, 4))
    assert "different burn-ins" in stopped(audits.same_bins({"a": a, "b": b}))
    with pytest.raises(CortseqError, match="another burn-in"):
        compare.gather("null", "null", {}, [fit.card], [b], 0)


class HardAssigned(models.Markov):
    """Scores A[s_t, q(y)] Pois(y; lambda_q(y)): forbidden, since it is not normalised."""

    def log_prob(self, params, data):
        p = {k: v[0] for k, v in params.items()}
        labels = encoder.labels(p, data)
        likelihood, peak = encoder.likelihood(p, data)
        joint = np.log(_rows(p, labels, data.valid, self.states) * likelihood) + peak[..., None]
        return np.take_along_axis(joint, labels[..., None], -1)[None, ..., 0]


def test_a_score_that_is_not_normalised(counts):
    fit = HardAssigned(states=3).fit(counts, ROLES["train"], ROLES["valid"])
    assert "have probability" in stopped(probes.normalisation("leaky", fit, counts, ROLES))


class Generous(models.Null):
    def log_prob(self, params, data):
        return super().log_prob(params, data) + 0.01


class Flat(models.Null):
    """Gives every count the same probability, however large it is."""

    def log_prob(self, params, data):
        return np.full((1, *data.y.shape[:2]), np.log(0.1))


def test_a_score_whose_excess_lies_at_the_end_of_the_grid_is_not_passed_over(counts):
    fit = Flat().fit(counts, ROLES["train"], ROLES["valid"])
    assert "have probability" in stopped(probes.normalisation("flat", fit, counts, ROLES))


@pytest.mark.parametrize("track", TRACKS)
def test_normalisation_of_a_generous_and_of_honest_models(track, request):
    recording = request.getfixturevalue(track)
    roles = {"train": list(range(20)), "valid": list(range(20, 26)), "test": list(range(26, 30))}
    honest = [model for family in models.registry() if (model := small(family)).applies(track)]
    for model in (Generous(), *honest):
        fit = model.fit(recording, roles["train"], roles["valid"], members=2)
        found = stopped(probes.normalisation("m", fit, recording, roles))
        assert ("have probability" in found) if model.__class__ is Generous else found is None


# -- clean runs ------------------------------------------------------------------------------------


def _clean(seed: int):
    """All audits of a small study on fresh data of one track: the details of those that stop."""
    rng = np.random.default_rng([seed, 5])
    track = list(TRACKS)[seed % 3]
    n, continuous = 48, bool(seed % 2) and track != "symbols"
    if track == "counts":
        rates = 0.5 * (1 + 0.8 * np.sin(np.arange(30) * 0.4 + rng.uniform(0, 6, (n, 4, 1)))).swapaxes(1, 2)
        recording = rec.from_counts(rng.poisson(rates), bin_width=0.02)
    elif track == "symbols":
        recording = rec.from_symbols(
            [rng.integers(0, 3, k).cumsum() % 4 for k in rng.integers(8, 25, n)], n_symbols=4
        )
    else:
        recording = rec.from_signal(rng.normal(size=(n, 30, 2)).cumsum(1), bin_width=0.1)
    if continuous:
        length = 30 * recording.attrs["bin_width"]
        edges = length * np.arange(n + 1)
        recording = recording.assign_coords(start=("trial", edges[:-1]), stop=("trial", edges[1:]))
        recording.attrs["continuous"] = 1
    if track == "counts":
        recording = _with_inputs(recording, rng.normal(size=(n, 30, 1)))
    source = Source.model_construct(source="x", covariates={}, max_units=3, min_rate_hz=0.1)
    manifest = splits.split(recording, splits.Deal(seed=seed), source, "d")
    whole, (recording, roles) = recording, splits.fold_of(recording, manifest, 0)
    found = [
        *audits.observed(whole),
        *input_audits.inputs(whole),
        *audits.overlap(whole, manifest["folds"][0]),
    ]
    found += [audits.blocks(whole, manifest["folds"][0]), audits.selection(whole, manifest, 0)]
    scores, fits = {}, {}
    for name in ("null", "psth", "markov"):
        small = {"states": 3, "restarts": 1} if name == "markov" else {}
        fits[name] = fit = models.registry()[name](**small).fit(
            recording, roles["train"], roles["valid"], seed=seed
        )
        scores[name] = products.scores(fit, recording, roles)
        found += [
            audits.causality(name, fit, recording, roles["test"], seed),
            audits.provenance(name, fit, roles, recording),
        ]
        found += [
            probes.refit(name, fit, recording, roles),
            probes.normalisation(name, fit, recording, roles, seed),
        ]
        found += [probes.canary(name, fit.model, recording, seed)] if name != "null" else []
    return stopped(*found, audits.same_bins(scores))


def test_clean_runs_raise_no_alarm():
    assert [_clean(seed) for seed in range(6)] == [None] * 6


@pytest.mark.slow
def test_a_hundred_clean_runs_raise_no_alarm():
    assert [_clean(seed) for seed in range(100)] == [None] * 100


# -- surrogates ------------------------------------------------------------------------------------


def test_surrogates_say_who_wins(symbols):
    chain = models.Markov(order=1).fit(symbols, ROLES["train"], ROLES["valid"])
    net = models.Rate(hidden=6, epochs=10).fit(symbols, ROLES["train"], ROLES["valid"])
    on_chain, on_net = probes.surrogates(chain, net, 12)
    assert not on_chain.stopping and on_chain.passed and "data drawn from the fitted chain" in on_chain.detail
    assert not on_net.stopping and "wins" in on_net.detail


def test_the_pair_is_chosen_on_validation(counts):
    fits = {f"m{k}": models.Markov(states=k).fit(counts, ROLES["train"], ROLES["valid"]) for k in (2, 5)}
    scores = {name: products.scores(f, counts, ROLES) for name, f in fits.items()}
    assert probes.pair(fits, scores) is None
    fits["esn"] = models.Esn(hidden=10).fit(counts, ROLES["train"], ROLES["valid"])
    scores["esn"] = products.scores(fits["esn"], counts, ROLES)
    chain, net = probes.pair(fits, scores)
    valid = {n: np.nansum(fits[n].log_prob(counts, ROLES["valid"]).values) for n in ("m2", "m5")}
    assert chain is fits[max(valid, key=valid.get)] and net is fits["esn"]
