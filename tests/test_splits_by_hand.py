"""Folds that share nothing, shares of roles, channels by their training trials."""

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq import splits, study
from cortseq.sources.npz import SOURCE as Npz

SOURCE = Npz(source="npz", path="x.npz", counts="c", native_bin_ms=20)


def plan(**more):
    return study.validate({"datasets": {"d": {"source": "synthetic", "kind": "ring"}}, **more})


def counts(n):
    return rec.from_counts(np.random.default_rng(0).poisson(1.0, (n, 5, 2)), bin_width=0.02)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_every_trial_is_tested_once_and_folds_are_of_one_size(folds):
    manifest = splits.split(counts(42), plan(folds=folds), SOURCE, "d")
    tests = [fold["test"] for fold in manifest["folds"]]
    assert sorted(trial for test in tests for trial in test) == list(range(42)) and {
        len(t) for t in tests
    } == {42 // folds}


def test_shares_are_of_all_trials():
    (fold,) = splits.split(counts(100), plan(test_fraction=0.3, valid_fraction=0.2), SOURCE, "d")["folds"]
    assert [len(fold[role]) for role in ("train", "valid", "test")] == [50, 20, 30]
    for fold in splits.split(counts(100), plan(folds=5, valid_fraction=0.1), SOURCE, "d")["folds"]:
        assert [len(fold[role]) for role in ("train", "valid", "test")] == [70, 10, 20]


def test_a_fold_has_its_own_roles_and_units():
    recording = counts(6)
    manifest = {"folds": [{"test": [0], "units": [0]}, {"test": [3], "units": [1]}]}
    for fold in range(2):
        part, roles = splits.fold_of(recording, manifest, fold)
        assert part["unit"].values.tolist() == [fold] and roles["test"] == [3 * fold]


def test_a_channel_that_varies_in_test_trials_only_is_dropped():
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(30, 8, 2))
    entry = Npz(source="npz", path="x.npz", signal="s", native_bin_ms=100)
    roles = splits.split(rec.from_signal(signal, bin_width=0.1), plan(), entry, "d")["folds"][0]
    signal[roles["train"], :, 1] = 4.0
    fold = splits.split(rec.from_signal(signal, bin_width=0.1), plan(), entry, "d")["folds"][0]
    assert fold["channels"] == [0] and fold["train"] == roles["train"]
