"""`cortseq.compare` says what a study of the same models says; names of models as people type them."""

import numpy as np
import pytest

import cortseq
from cortseq import models, sources, splits
from cortseq import recording as rec
from cortseq.errors import CortseqError


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    drive = np.exp(rng.normal(-1, 0.7, (60, 1, 1)) + rng.normal(0, 0.3, (1, 15, 4)))
    return rec.from_counts(rng.poisson(drive), bin_width=0.02)


@pytest.fixture(scope="module")
def found(counts):
    given = {
        "rate": models.Rate(hidden=4, epochs=4),
        "hmm": [models.HMM(states=2), models.HMM(states=4)],
        "glm": models.GLM(history=3),
    }
    return cortseq.compare(counts, given, members=2, seed=4)


def test_the_table_is_that_of_a_study(found):
    assert list(found.table) == list(cortseq.scoring.rows.COLUMNS)
    chosen = found.table[~found.table["averaged"].astype(bool)].set_index("model")
    assert set(chosen.index) == {"null", "rate", "hmm", "glm"}
    assert chosen.loc["null", "value"] == 0 and chosen.loc["glm", "members"] == 1
    assert chosen.loc["hmm", "variant"] in ("hmm_0", "hmm_1") and chosen.loc["hmm", "settings_tried"] == 2
    assert set(found.variants["variant"]) == {"null", "rate", "hmm_0", "hmm_1", "glm"}


def test_a_value_is_the_gain_over_the_null_on_the_test_trials(found, counts):
    test = found.folds[0]["test"]
    rate, null = (found.fits[name][0].log_prob(counts, test).values for name in ("rate", "null"))
    spikes = counts["counts"].values[test].sum()
    expected = cortseq.scoring.bits_per_spike(rate.mean(0), null.mean(0), spikes)
    row = found.table.set_index("model").loc["rate"]
    assert row["value"] == pytest.approx(expected, rel=1e-9)


def test_it_draws_and_shows_itself(found):
    assert "rate" in repr(found) and found.verdicts[0] in repr(found)
    page = found._repr_html_()
    assert "<table" in page and "hmm" in page
    assert found.plot().axes[0].get_xlabel().startswith("gain over the null")


def test_folds_test_every_trial_once(counts):
    found = cortseq.compare(counts, {"glm": models.GLM(history=2)}, folds=3)
    tested = np.concatenate([fold["test"] for fold in found.folds])
    assert sorted(tested) == list(range(60)) and len(found.fits["glm"]) == 3
    assert found.table.set_index("model").loc["glm", "folds"] == 3


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "nothing to compare"),
        ({"null": models.Null()}, "the null is always compared"),
        ({"glm": []}, "without a specification"),
        (
            {"glm": [models.GLM(history=1), models.GLM(history=2)], "glm_0": models.GLM()},
            "two models have this",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(counts, given, why):
    with pytest.raises(CortseqError, match=why):
        cortseq.compare(counts, given)


def test_a_model_that_cannot_be_fitted_is_named(counts):
    with pytest.raises(CortseqError, match="fit of net"):
        cortseq.compare(counts, {"net": models.Rate(strategy={"kind": "sparse"})}, members=1)


@pytest.mark.parametrize(
    ("typed", "family"),
    [("LSTM", "lstm"), ("Lstm", "lstm"), ("HMM", "hmm"), ("CTW", "ctw"), ("ContextTree", "ctw"), ("GLM", "glm"),
     ("ESN", "esn"), ("STP", "stp"), ("LowRank", "low_rank"), ("PSTH", "psth"), ("GRU", "gru"), ("Rate", "rate")],
)  # fmt: skip
def test_models_are_found_by_the_names_that_people_type(typed, family):
    assert getattr(models, typed).model_fields["family"].default == family


def test_every_family_can_be_found_by_tab():
    shown = [name for name in dir(models) if name[0].isupper() and name != "Estimator"]
    assert {getattr(models, name).model_fields["family"].default for name in shown} >= set(models.modules())
    assert {"compare", "read", "models"} <= set(dir(cortseq))
    assert all(getattr(cortseq, name) is not None for name in dir(cortseq))


def test_a_name_that_is_nearly_right_is_proposed():
    with pytest.raises(AttributeError, match="did you mean LSTM"):
        models.Lstn  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no 'Nothing'$"):
        models.Nothing  # noqa: B018


def test_trials_are_those_that_a_study_deals(counts):
    """Within quantiles of the first covariate, as a study with that covariate and seed does it."""
    side = np.random.default_rng(3).integers(0, 2, 60)
    labelled = rec.from_counts(counts["counts"].values, bin_width=0.02, covariates={"side": side})
    found = cortseq.compare(labelled, {"glm": models.GLM(history=1)}, seed=9)
    entry = sources.registry()["synthetic"].model_validate({"source": "synthetic", "kind": "ring"})
    entry = entry.model_copy(update={"covariates": {"side": "side"}})
    dealt = splits.split(labelled, splits.Deal(seed=9), entry, "d")
    assert dealt["stratified_by"] == "side"
    assert found.folds == dealt["folds"]


def test_the_short_way_takes_every_argument_of_the_function():
    """`cortseq.compare`, `read` and `fit_together` are the functions of their modules, imported on use."""
    from inspect import signature

    from cortseq import comparing, reading

    for short, whole in ((cortseq.compare, comparing.compare), (cortseq.read, reading.read)):
        assert list(signature(short).parameters) == list(signature(whole).parameters)
