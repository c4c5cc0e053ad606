"""A fit on a recording that it was not fitted to: its units, its bins, and no trial that it learned from."""

import json

import numpy as np
import pytest

from cortseq import cli, models
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.scoring import stranger

ROLES = {"train": list(range(20)), "valid": list(range(20, 26)), "test": list(range(26, 60))}


def made(seed, n=60, names="abc", width=0.02):
    """Counts that follow the bin before, the same law in every recording."""
    rng = np.random.default_rng(seed)
    y = np.zeros((n, 30, 3), int)
    for t in range(30):
        before = y[:, t - 1] if t else np.ones((n, 3))
        y[:, t] = rng.poisson(0.2 + 0.9 * np.minimum(before, 4))
    return rec.from_counts(y, bin_width=width, unit_names=list(names))


@pytest.fixture(scope="module")
def fit():
    return models.Glm(history=2).fit(made(0), ROLES["train"], ROLES["valid"])


def test_what_carries_over_is_scored_beside_the_null_of_the_new_recording(fit):
    new = made(1)
    found = stranger.score(fit, new, ROLES)
    null = models.Null().fit(new, ROLES["train"], ROLES["valid"])
    mine, base = (np.nansum(f.log_prob(new, ROLES["test"]).values) for f in (fit, null))
    spikes = new["counts"].values[26:].sum()
    assert found.gain.estimate == pytest.approx((mine - base) / spikes / np.log(2))
    assert found.gain.low > 0.1 and found.gain.p_value < 0.01
    assert (found.trials, found.events, found.learned) == (34, spikes, 0)
    assert "over the mean of the recording's training trials" in found.lines()[0]
    assert found.audits[0].passed


def test_units_are_found_by_name_in_any_order(fit):
    new = made(1)
    other = made(2)["counts"].values[..., :1]
    y = np.concatenate([new["counts"].values[..., [2]], other, new["counts"].values[..., :2]], -1)
    more = rec.from_counts(y, bin_width=0.02, unit_names=list("cxab"))
    assert stranger.score(fit, more, ROLES).gain.estimate == stranger.score(fit, new, ROLES).gain.estimate


def test_trials_that_were_learned_from_are_not_scored(fit):
    roles = {"train": list(range(30, 50)), "valid": list(range(50, 60)), "test": list(range(30))}
    found = stranger.score(fit, made(0), roles)
    assert found.learned == 26 and found.trials == 4
    assert "26 trials are those that the fit learned from" in found.lines()[1]
    with pytest.raises(CortseqError, match="fewer than two test trials are new"):
        stranger.score(fit, made(0), roles | {"test": list(range(26))})


@pytest.mark.parametrize(
    "other, said",
    [
        (made(1, width=0.05), "the fit is for bins of 20 ms .got 50"),
        (made(1, names="abd"), "1 of the 3 units of the fit are not in the recording .got .'c'"),
        (rec.from_symbols([np.zeros(9, int)] * 60), "the fit is for counts, the recording holds symbols"),
    ],
)
def test_what_does_not_fit_is_refused(fit, other, said):
    with pytest.raises(CortseqError, match=said):
        stranger.score(fit, other, ROLES)


def test_the_command_scores_the_datasets_of_a_study(tmp_path, capsys):
    study = tmp_path / "s.yaml"
    study.write_text(
        "study: s\ndatasets:\n  a: {source: synthetic, kind: driven, trials: 40, bins: 20, units: 3}\n"
        "  b: {source: synthetic, kind: driven, trials: 40, bins: 20, units: 4}\n"
    )
    from cortseq import checking
    from cortseq import study as studies

    recording, manifest = checking.recording(studies.read(study), "a")
    roles = manifest["folds"][0]
    models.Glm(history=1).fit(recording, roles["train"], roles["valid"]).save(tmp_path / "fit")
    assert cli.main(["score", str(tmp_path / "fit.safetensors"), str(study), "--dataset", "a", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["a"]
    assert found["trials"] == len(roles["test"]) and found["low"] <= found["estimate"] <= found["high"]
    assert cli.main(["score", str(tmp_path / "fit.safetensors"), str(study)]) == 0
    assert "a: " in capsys.readouterr().out
    assert cli.main(["score", str(tmp_path / "fit.safetensors"), str(study), "--dataset", "c"]) == 2
    assert "no such dataset (got 'c')" in capsys.readouterr().err
