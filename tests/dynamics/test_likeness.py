"""How alike members are: signs of units that do the same, and free runs of the recording's own model."""

from dataclasses import replace

import numpy as np
import pytest
from untrained import untrained

from cortseq import models
from cortseq.dynamics.laboratory import Subject, likeness


def repeated(fit):
    """The fit whose members are all its first one."""
    first = {name: value[:1].expand_as(value) for name, value in fit.params.items()}
    return replace(fit, params=first)


def test_kappa_of_signs_that_activity_tells_and_does_not():
    rng = np.random.default_rng(0)
    signs = np.repeat([1.0, -1.0], [32, 8])
    outputs = likeness._standard(rng.normal(size=(300, 40)))
    order = rng.permutation(40)
    assert likeness._kappa(outputs.T @ outputs[:, order], signs, signs[order]) == pytest.approx(1)
    unrelated = [
        likeness._kappa(
            outputs.T @ likeness._standard(rng.normal(size=(300, 40))), signs, rng.permutation(signs)
        )
        for _ in range(60)
    ]
    assert abs(np.mean(unrelated)) < 0.1
    assert np.isnan(likeness._kappa(np.eye(3), np.ones(3), np.ones(3)))


def test_members_that_are_one_network_agree(counts):
    model = models.registry()["dale"].small()
    fit = untrained(model, counts, members=2, seed=3)
    n = counts.sizes["trial"]
    test = np.arange(n - 12, n)
    subject = Subject(repeated(fit), counts, np.arange(n - 12), test, None, 1)
    found = likeness.signs(subject, None)[0]["sign_agreement"][1]
    assert found[0, 1] == pytest.approx(1)


def test_trials_of_the_recordings_own_model_are_as_near_as_its_halves(counts):
    """A fit's own free run as the recording: every member is about one ruler away."""
    fit = untrained(models.registry()["rate"].small(), counts, members=3, seed=0)
    drawn = fit.simulate(64, 40, member=0, seed=5)
    subject = Subject(repeated(fit), drawn, np.arange(32), np.arange(64), None, 1)
    variables, attrs = likeness.operators(subject, None)
    assert attrs["operator_ruler"] > 0
    assert np.all(np.abs(np.log2(variables["operator_to_recording"][1])) < 1)
    assert np.nanmax(np.abs(np.log2(variables["operator_to_members"][1]))) < 1.5


def test_a_member_that_is_silent_leaves_the_others_their_numbers(counts):
    fit = untrained(models.registry()["rate"].small(), counts, members=3, seed=0)
    silent = {name: value.clone() for name, value in fit.params.items()}
    silent["readout_bias"][1] = -100.0
    n = counts.sizes["trial"]
    subject = Subject(replace(fit, params=silent), counts, np.arange(n - 12), np.arange(n - 12, n), None, 1)
    variables, _ = likeness.operators(subject, None)
    assert np.isnan(variables["operator_to_recording"][1]).tolist() == [False, True, False]
    apart = variables["operator_to_members"][1]
    assert np.isfinite(apart[0, 2]) and np.isnan(apart[1]).all()
