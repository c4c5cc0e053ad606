"""Sessions learned one after another: what is handed on, what is refused, and the forgetting matrix."""

import numpy as np
import pytest
import xarray as xr

from cortseq import models, study
from cortseq.errors import CortseqError
from cortseq.figures import forgetting as figure
from cortseq.models.base import Checkpoint
from cortseq.preprocess import preprocess
from cortseq.scoring import forgetting, probes
from cortseq.scoring.statistics import Session, over_sessions
from cortseq.sources.npz import SOURCE as Npz

TRAIN, VALID, TEST = range(20), range(20, 26), range(26, 40)
ROLES = {"train": [*TRAIN], "valid": [*VALID], "test": [*TEST]}


def spec(**more):
    return models.Rate(**{"hidden": 6, "epochs": 12, "batch": 8, **more})


@pytest.fixture(scope="module")
def first(counts):
    return spec().fit(counts, TRAIN, VALID, 2, 3)


@pytest.fixture(scope="module")
def second(counts, first):
    """The same session once more."""
    return spec().fit(counts, TRAIN, VALID, 2, 3, start=first)


def matrix(recording, *fits):
    test = forgetting.Tested(recording, TEST, models.Null().fit(recording, TRAIN, VALID))
    return forgetting.table([f"s{i}" for i in range(len(fits))], [[f] for f in fits], [[test]] * len(fits))


def value(table, quantity):
    return table[table["quantity"] == quantity].iloc[0]


def test_the_second_fit_starts_where_the_first_ended(first, second):
    begun = second.curves[second.curves["epoch"] == 0]
    assert begun["valid_loss"].tolist() == first.curves.groupby("member")["valid_loss"].min().tolist()
    assert second.card["started_from"] == first.digest() != second.digest()
    assert "started_from" not in first.card and (first.curves["epoch"] > 0).all()


def test_where_no_epoch_is_better_the_earlier_fit_stays(counts, first):
    again = spec(epochs=2, learning_rate=50.0).fit(counts, TRAIN, VALID, 2, 3, start=first)
    assert again.digest() == first.digest()
    assert (again.curves["best"] == (again.curves["epoch"] == 0)).all()


def test_identical_sessions_are_not_forgotten(counts, first, second):
    table = matrix(counts, first, second)
    assert list(table.columns) == forgetting.COLUMNS and len(table) == 4 + 1 + 2
    score = table[table["quantity"] == "score"]["value"].to_numpy().reshape(2, 2)
    bwt, acc = value(table, "BWT"), value(table, "ACC")
    assert bwt["high"] >= 0 and bwt["value"] == pytest.approx(score[1, 0] - score[0, 0])
    assert bwt["value"] == pytest.approx(value(table, "change")["value"])
    assert acc["value"] == pytest.approx(score[1].mean()) and acc["low"] < acc["value"] < acc["high"]
    assert acc["trials"] == 2 * len(TEST) and bwt["members"] == 2


def test_what_a_later_session_contradicts_is_forgotten(counts, first):
    """The two units that alternate change places: BWT is below zero, its interval too."""
    swapped = counts.copy(deep=True)
    swapped["counts"].values[...] = counts["counts"].values[:, ::-1][..., [1, 0, 2]] * 3
    other = spec(epochs=20).fit(swapped, TRAIN, VALID, 2, 3, start=first)
    tests = [[forgetting.Tested(r, TEST, models.Null().fit(r, TRAIN, VALID))] for r in (counts, swapped)]
    table = forgetting.table(["a", "b"], [[first], [other]], tests)
    assert value(table, "BWT")["high"] < 0
    drawn, numbers = figure.draw({"rate": table, "again": table})
    assert len(drawn.axes) == 6 and len(numbers) == 2 * len(table)


def test_a_member_that_failed_leaves_the_others_paired(counts, first):
    card = first.card | {"members": 1, "failed_members": {"0": "loss not finite"}}
    left = models.base.Fit(first.model, {k: v[1:] for k, v in first.params.items()}, card, first.curves)
    table = matrix(counts, first, left)
    assert value(table, "BWT")["value"] == 0 and set(table["members"]) == {1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r, m: (r, m, 1), ["start", "members: 2 in the earlier fit"]),
        (lambda r, m: (r.isel(unit=[0, 1]), m, 2), ["unit 2", "need the same units"]),
        (lambda r, m: (r.isel(unit=[1, 0, 2]), m, 2), ["another order"]),
        (lambda r, m: (r, spec(hidden=5), 2), ["shape", "same settings"]),
        (lambda r, m: (r, models.Lstm(hidden=6), 2), ["family: rate", "same model"]),
        (lambda r, m: (r, models.Esn(hidden=6), 2), ["esn carries nothing over"]),
        (lambda r, m: (r, models.Markov(), 1), ["markov carries nothing over"]),
    ],
)
def test_another_start_is_refused_with_what_differs(counts, first, change, words):
    recording, model, members = change(counts, first.model)
    with pytest.raises(CortseqError) as caught:
        model.fit(recording, TRAIN, VALID, members, 3, start=first)
    for word in words:
        assert word in str(caught.value)


def test_another_track_is_refused(symbols, first):
    with pytest.raises(CortseqError, match="track: counts in the earlier fit"):
        spec().fit(symbols, TRAIN, VALID, 2, 3, start=first)


def test_an_esn_hands_nothing_on():
    with pytest.raises(CortseqError, match="never trained"):
        models.Esn(after="previous")


def test_a_checkpoint_changes_nothing(counts, first, second, tmp_path):
    """Killed after 5 steps and begun again, beside an epoch 0 that is not validated twice."""
    from cortseq.networks.training import gradient

    step, left = gradient._Descent._step, iter(range(5))

    def stopping(self, *arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *arguments)

    how = {"checkpoint": Checkpoint(tmp_path / "c.safetensors", 0.0), "start": first}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gradient._Descent, "_step", stopping)
        spec().fit(counts, TRAIN, VALID, 2, 3, **how)
    resumed = spec().fit(counts, TRAIN, VALID, 2, 3, **how)
    assert resumed.digest() == second.digest() and resumed.curves.to_csv() == second.curves.to_csv()


def test_measured_parameters_are_the_first_sessions_and_the_audit_knows(signal):
    """A network of signals keeps the scale it learned with: refitted without the earlier fit it would not come out again."""
    halves = signal.isel(trial=slice(0, 15)), signal.isel(trial=slice(15, 30))
    roles = {"train": [*range(9)], "valid": [9, 10, 11], "test": [12, 13, 14]}
    before, after = models.Rate(hidden=4, epochs=2), None
    before = before.fit(halves[0], roles["train"], roles["valid"], 2)
    after = before.model.fit(halves[1], roles["train"], roles["valid"], 2, start=before)
    assert np.array_equal(after.params["signal_mean"], before.params["signal_mean"])
    assert probes.refit("rate", after, halves[1], roles, before).passed
    assert not probes.refit("rate", after, halves[1], roles).passed
    assert not probes.refit("rate", after, halves[1], roles, after).passed


def test_sessions_of_over_sessions_share_their_members():
    """Two members that differ, two sessions: were members drawn apart, half of the spread would average out."""
    one = Session(np.array([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]), np.zeros((1, 3)), np.ones(3))
    alone, both = over_sessions([one]), over_sessions([one, one])
    assert alone.estimate == both.estimate == pytest.approx(2.0)
    # the means of the members are 1 and 3: a standard error of 1 with one degree of freedom
    assert alone.standard_error == both.standard_error == pytest.approx(1.0)
    assert (both.low, both.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


def raw(n=11):
    counts = np.ones((n, 5, 2)) * np.arange(n)[:, None, None]
    return xr.Dataset(
        {"counts": (("trial", "time", "unit"), counts)}, attrs={"form": "samples", "bin_width": 0.01}
    )


def entry(**more):
    return Npz(
        **{
            "source": "npz",
            "path": "x.npz",
            "counts": "c",
            "axes": ("trial", "time", "unit"),
            "native_bin_ms": 10,
            **more,
        }
    )


def test_parts_meet_and_leave_no_trial_out():
    parts = [
        preprocess(raw(), entry(part=p))["counts"].values[:, 0, 0] for p in ([0, 0.3], [0.3, 0.5], [0.5, 1])
    ]
    assert np.concatenate(parts).tolist() == [*range(11)]
    assert preprocess(raw(), entry(part=[0.5, 1], max_trials=2)).sizes["trial"] == 2
    with pytest.raises(CortseqError, match=r"part.*1 of 11 trials"):
        preprocess(raw(), entry(part=[0, 0.1]))


RING = {"source": "synthetic", "kind": "ring"}
AFTER = {"rnn": {"family": "rate", "after": "previous"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"models": AFTER}, ["models.rnn.after", "`sequence`"]),
        ({"sequence": ["a", "c"]}, ["sequence", "'c'"]),
        ({"sequence": ["a", "a"]}, ["sequence", "'a' is there twice"]),
        ({"sequence": ["a"]}, ["sequence", "at least two"]),
        ({"sequence": ["a", "e"], "datasets": {"a": RING, "e": {**RING, "kind": "even"}}}, ["sequence", "tracks"]),
        ({"sequence": ["a", "b"], "datasets": {"a": RING, "b": {**RING, "part": [0.5, 1]}}}, ["b.part", "in common"]),
        ({"datasets": {"a": {**RING, "part": [0.5, 0.5]}}}, ["datasets.a", "part", "[0.5, 0.5]"]),
        ({"datasets": {"a": {**RING, "part": [0, 2]}}}, ["datasets.a.part", "got 2"]),
        ({"models": {"e": {"family": "esn", "after": "previous"}}}, ["models.e", "never trained"]),
    ],
)  # fmt: skip
def test_faults_of_a_sequence_name_the_key(content, words):
    with pytest.raises(CortseqError) as caught:
        study.validate({"datasets": {"a": RING, "b": RING}, **content}, "mine.yaml")
    assert len(str(caught.value).splitlines()) == 1, str(caught.value)
    for word in ["mine.yaml", *words]:
        assert word in str(caught.value)


def test_the_order_of_sessions():
    halves = {"a": {**RING, "part": [0, 0.5]}, "b": {**RING, "part": [0.5, 1]}, "c": {**RING, "units": 3}}
    plan = study.validate({"datasets": halves, "sequence": ["b", "a"], "models": AFTER})
    assert [plan.before(name) for name in ("b", "a", "c")] == [None, "b", None]
