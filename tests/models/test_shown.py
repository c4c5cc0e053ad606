"""How models and fits are shown, and what is said of a wrong setting."""

import numpy as np
import pytest

from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError


@pytest.fixture(scope="module")
def fit():
    counts = np.random.default_rng(0).poisson(0.4, (20, 12, 3))
    recording = rec.from_counts(counts, bin_width=0.02)
    return models.Rate(hidden=4, epochs=2).fit(recording, range(12), range(12, 16), members=2, seed=0)


def test_a_model_shows_what_is_not_the_default():
    assert repr(models.Rate()) == "Rate()"
    assert repr(models.Rate(hidden=8, inputs=False)) == "Rate(hidden=8, inputs=False)"
    assert repr(models.Markov(order=2)) == "Markov(order=2)"


@pytest.mark.parametrize("family", models.registry())
def test_what_a_model_shows_makes_it_again(family):
    made = models.registry()[family].small()
    plain = {name: value for name, value in made.model_dump().items() if name in dict(made.__repr_args__())}
    again = type(made).model_validate({"family": family, **plain})
    assert again == made and repr(again) == repr(made)


def test_a_wrong_setting_is_said_in_a_line_with_what_was_meant():
    with pytest.raises(CortseqError) as error:
        models.Rate(hiden=64)
    assert str(error.value) == "Rate.hiden: unknown key: did you mean hidden? (got 64)"
    with pytest.raises(CortseqError, match=r"Rate.nonsense: unknown key \(got 1\)"):
        models.Rate(nonsense=1)
    with pytest.raises(CortseqError, match=r"Rate.hidden: .*greater than or equal to 1 \(got -4\)"):
        models.Rate(hidden=-4)
    with pytest.raises(CortseqError) as error:
        models.LSTM(hidden=0, epoch=3)
    assert len(str(error.value).splitlines()) == 2  # all faults at once


def test_a_fit_is_a_line_not_its_arrays(fit):
    said = repr(fit)
    assert said.startswith("Fit of Rate(hidden=4, epochs=2): members 2; parameters ") and "\n" not in said
    assert "observation poisson, 3 units" in said and "tensor" not in said
    best = fit.curves.groupby("member")["valid_loss"].min()
    assert f"validation loss {best.iloc[0]:.4g}, {best.iloc[1]:.4g} nats/event" in said


def test_a_fit_is_a_table_in_a_notebook(fit):
    page = fit._repr_html_()
    assert page.count("<tr>") == 5 and "<strong>Fit of Rate(hidden=4, epochs=2)</strong>" in page


def test_a_flow_says_which_map_it_is(fit):
    assert repr(fit.flow(member=0, map="closed")) == "Flow of the closed loop, 4 numbers in a state"
