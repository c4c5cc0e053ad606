"""Models and fits in scikit-learn's own tools: parameters, clone, scores, searches."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

import cortseq
from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError

SIDE = np.random.default_rng(3).integers(0, 2, 40)


def drawn(n_trials, seed):
    rng = np.random.default_rng(seed)
    drive = np.exp(rng.normal(-0.5, 0.7, (n_trials, 1, 1)) + rng.normal(0, 0.3, (1, 10, 4)))
    return rng.poisson(drive)


@pytest.fixture(scope="module")
def counts():
    return rec.from_counts(drawn(40, 0), bin_width=0.02, covariates={"side": SIDE})


# -- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(models.modules()))
def test_the_settings_of_a_family_make_it_again(family):
    model = models.find(family).small()
    assert type(model)(**model.get_params(deep=False)) == model
    assert clone(model) == model and clone(clone(model)).get_params() == model.get_params()


def test_a_changed_copy_leaves_the_specification_as_it_is():
    model = models.Rate(hidden=4, gain=1.25)
    changed = model.set_params(hidden=8, strategy__kind="scheduled", strategy__final=0.25)
    assert (model.hidden, model.strategy.kind) == (4, "teacher")
    assert (changed.hidden, changed.gain, changed.strategy.final) == (8, 1.25, 0.25)
    assert changed.get_params()["strategy__final"] == 0.25
    assert "strategy__final" not in changed.get_params(deep=False)
    assert changed.set_params() == changed


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hiden": 8}, "hiden: unknown key: did you mean hidden"),
        ({"strategy__finall": 1}, "strategy.teacher.finall: unknown key"),
        ({"hidden__size": 8}, "hidden__size: unknown key"),
        ({"hidden": 0}, "hidden: .*greater than or equal to 1"),
    ],
)
def test_what_is_no_setting(wrong, words):
    with pytest.raises(CortseqError, match=words):
        models.Rate().set_params(**wrong)


# -- scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [models.Rate(hidden=4, epochs=3), models.PSTH(), models.Null()])
def test_a_score_is_the_one_of_a_comparison(counts, model):
    name = model.family
    given = {} if name == "null" else {name: model}
    found = cortseq.compare(counts, given or {"flat": models.Flat()}, members=2)
    fit, test = found.fits[name][0], found.folds[0]["test"]
    value = found.table.set_index("model").loc[name, "value"]
    assert fit.score(counts, test) == pytest.approx(value, abs=1e-12)
    assert fit.score(counts) == fit.score(counts, test)  # the trials that it did not learn from


@pytest.mark.parametrize("track", ["symbols", "signal"])
def test_scores_are_in_the_unit_of_the_track(track):
    rng = np.random.default_rng(5)
    if track == "symbols":
        recording = rec.from_symbols([np.cumsum(rng.random(30) < 0.9) % 3 for _ in range(20)], n_symbols=3)
        model, unit = models.Markov(order=1), np.log(2)
    else:
        signal = np.cumsum(rng.normal(size=(20, 30, 2)), 1)
        recording, model, unit = rec.from_signal(signal, bin_width=0.1), models.Persistence(), 1.0
    train, valid, test = range(10), range(10, 14), range(14, 20)
    fit, null = (one.fit(recording, train, valid) for one in (model, models.Null()))
    nats = fit.log_prob(recording, test).values.mean(0).sum() - null.log_prob(recording, test).values.sum()
    assert fit.score(recording, test) == pytest.approx(nats / (unit * 6 * 30), rel=1e-9)
    assert fit.score(recording) > 0 and null.score(recording) == pytest.approx(0, abs=1e-12)


def test_the_null_of_another_recording_has_to_be_given(counts):
    fit = models.GLM(history=2).fit(counts, range(20), range(20, 26))
    for other in (drawn(40, 1), drawn(10, 1)):
        another = rec.from_counts(other, bin_width=0.02, covariates={"side": SIDE[: len(other)]})
        with pytest.raises(CortseqError, match=r"recording: .*does not hold the trials.*null="):
            fit.score(another, range(5))
    null = models.Null().fit(counts, range(20), range(20, 26))
    assert fit.score(counts, range(26, 40), null=null) == pytest.approx(fit.score(counts), abs=1e-12)
    assert np.isfinite(fit.score(another, null=null))


def test_trials_without_an_event_have_no_score(counts):
    silent = counts["counts"].values.copy()
    silent[30:] = 0
    recording = rec.from_counts(silent, bin_width=0.02)
    fit = models.Flat().fit(recording, range(20), range(20, 26))
    with pytest.raises(CortseqError, match="trials: the trials hold nothing to score"):
        fit.score(recording, range(30, 40))


# -- searches ----------------------------------------------------------------------------------------


def test_a_grid_search_fits_every_setting_to_the_trials_that_it_deals(counts):
    estimator = models.Estimator(models.HMM(states=2), counts, seed=3)
    search = GridSearchCV(estimator, {"model__states": [1, 4]}, cv=KFold(3)).fit(np.arange(40))
    assert search.best_params_ == {"model__states": 4} and search.best_estimator_.model.states == 4
    assert estimator.model.states == 2  # the search works on copies
    by_hand = [
        clone(estimator).set_params(model__states=4).fit(train).score(test)
        for train, test in KFold(3).split(np.arange(40))
    ]
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(np.mean(by_hand), rel=1e-12)
    learned = search.best_estimator_.fit_.card["learned_from"]
    assert sorted(learned["train"] + learned["valid"]) == list(range(40)) and len(learned["valid"]) == 6


def test_an_estimator_is_scored_on_trials_it_has_not_seen(counts):
    estimator = models.Estimator(models.GLM(history=2), counts)
    scores = cross_val_score(estimator, np.arange(40)[:, None], cv=4)
    assert len(scores) == 4 and len(set(scores)) == 4
    assert not hasattr(estimator, "fit_") and clone(estimator).recording is counts
    fitted = estimator.fit(range(30))
    expected = fitted.fit_.predict(counts, [35, 36]).values.mean(0)
    assert np.array_equal(fitted.predict([35, 36]), expected)
    assert fitted.score([35, 36]) == fitted.fit_.score(counts, [35, 36])
    assert "Estimator" in dir(models)
