"""Roles: disjoint, stratified, guarded; units by training rate."""

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq import splits
from cortseq.errors import CortseqError
from cortseq.sources.npz import SOURCE as Npz

ENTRY = {"source": "npz", "path": "x.npz", "counts": "c", "native_bin_ms": 20}


def _deal(**more):
    return splits.Deal(**more)


def _recording(n=60, continuous=False, covariates=None, rates=(1.0, 0.5)):
    rng = np.random.default_rng(0)
    r = rec.from_counts(rng.poisson(rates, (n, 10, len(rates))), bin_width=0.02, covariates=covariates)
    r.attrs["continuous"] = int(continuous)
    return r


def _roles(fold):
    return [set(fold[role]) for role in splits.ROLES]


@pytest.mark.parametrize("folds", [1, 5])
@pytest.mark.parametrize("continuous", [False, True])
def test_roles_are_disjoint_and_complete(folds, continuous):
    manifest = splits.split(_recording(continuous=continuous), _deal(folds=folds), Npz(**ENTRY), "d")
    for fold in manifest["folds"]:
        sets = _roles(fold)
        assert sum(map(len, sets)) == 60 and set().union(*sets) == set(range(60))
    if folds > 1 and not continuous:
        tests = [t for fold in manifest["folds"] for t in fold["test"]]
        assert sorted(tests) == list(range(60))


def test_every_role_spans_a_sorted_covariate():
    """Trials sorted by a covariate: each role's mean stays near the overall one."""
    r = _recording(200, covariates={"tap": np.arange(200.0)})
    fold = splits.split(r, _deal(), Npz(**ENTRY, covariates={"tap": "tap"}), "d")["folds"][0]
    for role in ("train", "valid", "test"):
        assert abs(np.mean(fold[role]) - 99.5) < 10, role


def test_windows_of_different_roles_are_kept_apart():
    fold = splits.split(_recording(200, continuous=True), _deal(), Npz(**ENTRY), "d")["folds"][0]
    role_of = {t: role for role in splits.ROLES for t in fold[role]}
    for t in range(199):
        if role_of[t] != role_of[t + 1]:
            assert "guard" in (role_of[t], role_of[t + 1])


def test_the_same_seed_gives_the_same_split_and_another_another():
    r = _recording()
    a, b, c = (splits.split(r, _deal(seed=s), Npz(**ENTRY), "d")["folds"] for s in (1, 1, 2))
    assert a == b != c


def test_units_are_chosen_by_training_rate_only():
    r = _recording(rates=(1.0, 0.5, 0.5))
    fold = splits.split(r, _deal(), Npz(**ENTRY), "d")["folds"][0]
    r["counts"][fold["train"], :, 2] = 0  # silent in training, lively elsewhere
    fold = splits.split(r, _deal(), Npz(**ENTRY), "d")["folds"][0]
    assert fold["units"] == [0, 1] and fold["units_dropped"]["silent"] == 1


def test_slow_units_and_the_fastest_units():
    r = _recording(rates=(1.0, 0.02, 0.5))
    fold = splits.split(r, _deal(), Npz(**ENTRY, min_rate_hz=5.0), "d")["folds"][0]
    assert fold["units"] == [0, 2] and fold["units_dropped"]["slow"] == 1
    fold = splits.split(r, _deal(), Npz(**ENTRY, max_units=1), "d")["folds"][0]
    assert fold["units"] == [0] and fold["units_dropped"]["beyond_max_units"] == 2


def test_units_above_the_highest_rate_are_dropped():
    r = _recording(rates=(1.0, 0.02, 0.5))  # 50, 1 and 25 Hz
    fold = splits.split(r, _deal(), Npz(**ENTRY, max_rate_hz=40.0), "d")["folds"][0]
    assert fold["units"] == [1, 2] and fold["units_dropped"]["above_max_rate"] == 1
    fold = splits.split(r, _deal(), Npz(**ENTRY, min_rate_hz=5.0, max_rate_hz=40.0), "d")["folds"][0]
    dropped = fold["units_dropped"]
    assert fold["units"] == [2] and dropped["above_max_rate"] == dropped["slow"] == 1


def test_guards_take_few_windows_of_a_short_recording():
    """Blocks of four windows: at most one of the four is a guard."""
    folds = splits.split(_recording(40, continuous=True), _deal(folds=5), Npz(**ENTRY), "d")["folds"]
    assert all(len(fold["guard"]) <= 10 for fold in folds)
    assert len({t for fold in folds for t in fold["test"]}) >= 30


def test_no_unit_left_names_the_key():
    with pytest.raises(CortseqError, match=r"datasets\.d\.min_rate_hz.*got 500"):
        splits.split(_recording(), _deal(), Npz(**ENTRY, min_rate_hz=500.0), "d")


@pytest.mark.parametrize(("n", "folds"), [(1, 1), (2, 1), (4, 5)])
def test_too_few_trials_for_the_folds(n, folds):
    with pytest.raises(CortseqError, match=r"datasets\.d: .*cannot be split"):
        splits.split(_recording(n), _deal(folds=folds), Npz(**ENTRY), "d")


@pytest.mark.parametrize("n", [6, 7, 12, 20, 25, 30, 39, 60])
def test_few_windows_are_guarded_too(n):
    fold = splits.split(_recording(n, continuous=True), _deal(), Npz(**ENTRY), "d")["folds"][0]
    role = {trial: name for name in splits.ROLES for trial in fold[name]}
    for left, right in zip(range(n - 1), range(1, n), strict=True):
        assert role[left] == role[right] or "guard" in (role[left], role[right]), (left, right)


def test_too_few_windows_are_refused():
    with pytest.raises(CortseqError, match=r"5 window\(s\) cannot be split.*6 are needed"):
        splits.split(_recording(5, continuous=True), _deal(), Npz(**ENTRY), "d")


def test_fewer_trials_than_folds_are_refused():
    with pytest.raises(CortseqError, match=r"datasets\.d: 4 trial\(s\).*9 fold"):
        splits.split(_recording(4), _deal(folds=9), Npz(**ENTRY), "d")


def test_a_label_within_trials_cannot_stratify():
    r = _recording(30, covariates={"angle": np.zeros((30, 10))})
    with pytest.raises(CortseqError, match=r"stratify.*varies within trials"):
        splits.split(r, _deal(), Npz(**ENTRY, covariates={"angle": "a"}, stratify="angle"), "d")


def test_a_constant_channel_is_dropped_and_counted():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(30, 8, 3))
    signal[:, :, 1] = 4.0
    r = rec.from_signal(signal, bin_width=0.1)
    manifest = splits.split(r, _deal(), Npz(source="npz", path="x.npz", signal="s", native_bin_ms=100), "d")
    assert manifest["folds"][0]["channels"] == [0, 2]
    assert manifest["folds"][0]["channels_dropped"] == {"constant": 1}
    assert splits.fold_of(r, manifest, 0)[0].sizes["channel"] == 2
    with pytest.raises(CortseqError, match="no channel is left"):
        splits.split(rec.from_signal(np.ones((9, 4, 2)), bin_width=0.1), _deal(), Npz(**ENTRY), "d")
