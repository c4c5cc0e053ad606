"""Folds that share nothing, shares of roles, channels by their training trials."""

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq import splits, study
from cortseq.errors import CortseqError
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


# -- forward in time ---------------------------------------------------------------------------------


def test_what_is_learned_early_is_tested_late():
    manifest = splits.split(counts(20), plan(split="forward"), SOURCE, "d")
    (fold,) = manifest["folds"]
    assert fold["train"] == list(range(13)) and fold["valid"] == [13, 14, 15]
    assert fold["test"] == [16, 17, 18, 19] and fold["guard"] == []
    assert manifest["split"] == "forward" and manifest["stratified_by"] is None


def test_forward_goes_by_the_clock_where_there_is_one():
    recording = counts(10).assign_coords(start=("trial", np.arange(10.0)[::-1]))
    recording = recording.assign_coords(stop=recording["start"] + 0.1)
    (fold,) = splits.split(recording, plan(split="forward"), SOURCE, "d")["folds"]
    assert fold["test"] == [0, 1] and fold["valid"] == [2, 3] and fold["train"] == list(range(4, 10))


def test_roles_forward_in_a_continuous_recording_are_apart():
    recording = counts(30).assign_attrs(continuous=True)
    (fold,) = splits.split(recording, plan(split="forward"), SOURCE, "d")["folds"]
    assert fold["test"] == list(range(24, 30)) and fold["guard"] == [18, 23]
    assert fold["valid"] == [19, 20, 21, 22] and fold["train"] == list(range(18))
    few = plan(split="forward", test_fraction=0.5, valid_fraction=0.4)
    with pytest.raises(CortseqError, match="no train trial is left of 6"):
        splits.split(recording.isel(trial=slice(6)), few, SOURCE, "d")


def test_forward_has_no_folds():
    with pytest.raises(CortseqError, match="split: forward has one split, not folds: 5 -- set folds: 1"):
        plan(split="forward", folds=5)
