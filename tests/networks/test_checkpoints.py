"""Fits that are killed, warned, or out of disk."""

import json
import multiprocessing
import os
import signal
import sys
import time

import numpy as np
import pytest
import torch
from families import small, trained

from cortseq import models
from cortseq.models.base import Checkpoint

CONTEXT = multiprocessing.get_context("fork")  # a child starts with everything imported


def spec(**more):
    return models.Rate(**{"hidden": 8, "epochs": 25, "batch": 8, "hidden_dropout": 0.1, **more})


def fit(recording, path, done=None, model=None, seconds=0.0, members=2, lines=None):
    """A fit that writes its checkpoint after every step; saves its result to `done`."""
    say = (lambda line, fraction=None: lines.append(line)) if lines is not None else None
    found = (model or spec()).fit(
        recording, range(20), range(20, 26), members, 3, progress=say, checkpoint=Checkpoint(path, seconds)
    )
    if done is not None:
        found.save(done)
    return found


def same_bytes(a, b):
    assert all(a.params[name].numpy().tobytes() == b.params[name].numpy().tobytes() for name in b.params)
    assert a.curves.to_csv() == b.curves.to_csv()


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(kills, counts, tmp_path):
    """SIGKILL at random moments of a fit, twice in each; then it is left to end."""
    expected = spec().fit(counts, range(20), range(20, 26), 2, 3)
    start = time.monotonic()
    run(counts, tmp_path / "first.safetensors", tmp_path / "done.safetensors", None)
    duration, rng, hit = time.monotonic() - start, np.random.default_rng(0), 0
    for kill in range(kills):
        path, done = tmp_path / f"{kill}.safetensors", tmp_path / f"{kill}_fit.safetensors"
        for _ in range(2):
            hit += run(counts, path, done, rng.uniform(0, 0.7 * duration))
        run(counts, path, done, None)
        same_bytes(models.load(done), expected)
    assert hit > kills  # else nothing was tested


def run(recording, path, done, patience):
    """A fit in a child; whether it was killed, after `patience` seconds."""
    child = CONTEXT.Process(target=fit, args=(recording, path, done))
    child.start()
    child.join(120 if patience is None else patience)
    alive = child.is_alive()
    if alive:
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    else:
        assert child.exitcode == 0
    return alive


def test_a_checkpoint_at_every_step_changes_nothing(any_recording, tmp_path):
    expected = spec().fit(any_recording, range(20), range(20, 26), 2, 3)
    same_bytes(fit(any_recording, tmp_path / "c.safetensors"), expected)


@pytest.mark.parametrize("family", trained())
def test_resumed_in_the_middle_of_an_epoch(family, counts, tmp_path, monkeypatch):
    """Stopped after 7 steps (3 an epoch): parameters, curves and moments go on as if nothing had been."""
    from cortseq.networks.training import gradient

    model = small(family, hidden=6, epochs=6)
    expected = model.fit(counts, range(20), range(20, 26), 2, 3)
    step, count = gradient._Descent._step, 0

    def stopping(self, *arguments):
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(gradient._Descent, "_step", stopping)
    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(counts, path, model=model)
    monkeypatch.undo()
    lines = []
    resumed = fit(counts, path, model=model, lines=lines)
    assert any("goes on at epoch 3" in line for line in lines)
    same_bytes(resumed, expected)


def test_a_warning_checkpoints_and_exits_at_once(counts, tmp_path):
    path, done = tmp_path / "c.safetensors", tmp_path / "fit.safetensors"
    model = spec(epochs=5000, patience=5000)
    child = CONTEXT.Process(target=fit, args=(counts, path, done, model, 3600.0))
    child.start()
    time.sleep(1.0)
    assert not path.exists()
    os.kill(child.pid, signal.SIGTERM)
    child.join(20)
    assert child.exitcode == 143 and path.exists() and not done.exists()
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["fit"])["groups"]["0"]["at"][0] >= 1


def test_the_handler_of_the_program_is_put_back(counts):
    before = signal.getsignal(signal.SIGTERM)
    spec(epochs=1).fit(counts, range(20), range(20, 26))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_checkpoint_of_another_fit_is_not_used(counts, tmp_path):
    path, lines = tmp_path / "c.safetensors", []
    fit(counts, path, model=spec(learning_rate=0.5))
    expected = spec().fit(counts, range(20), range(20, 26), 2, 3)
    same_bytes(fit(counts, path, lines=lines), expected)
    assert any("another fit" in line for line in lines)


def test_a_broken_checkpoint_is_not_used(counts, tmp_path):
    path, lines = tmp_path / "c.safetensors", []
    path.write_bytes(b"half a file")
    fit(counts, path, lines=lines)
    assert any("cannot be read" in line for line in lines)


def test_a_full_disk_does_not_end_a_fit(counts, tmp_path, monkeypatch):
    import safetensors.torch

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    lines = []
    found = fit(counts, tmp_path / "c.safetensors", lines=lines)
    assert sum("No space left on device" in line for line in lines) == 1
    assert torch.isfinite(found.params["recurrent"]).all()
    assert list(tmp_path.iterdir()) == []


def test_progress_says_epoch_loss_best_and_time_left(counts, monkeypatch):
    from cortseq.networks.training import gradient

    monkeypatch.setattr(gradient, "_REPORT_SECONDS", 0.0)
    said = []
    spec(epochs=3).fit(
        counts,
        range(20),
        range(20, 26),
        2,
        progress=lambda line, fraction=None: said.append((line, fraction)),
    )
    assert "rate member 0 epoch 2/3 train" in "".join(line for line, _ in said)
    assert all("best valid" in line and "s left" in line for line, _ in said[:-1])
    fractions = [fraction for _, fraction in said if fraction is not None]
    assert said[-1][0].startswith("rate: 2 members in") and said[-1][1] == 1.0  # ends a bar
    assert fractions == sorted(fractions) and 0 < fractions[0] and fractions[-1] <= 1


def test_a_bar_is_shown_where_a_person_looks_on(capsys, monkeypatch):
    from cortseq.models.progress import chosen, silent

    for hidden in (None, False):
        chosen(hidden)("nothing", 0.5)
        assert capsys.readouterr().err == ""
    say = chosen(True)
    say("rate epoch 1/2", 0.5)
    said = capsys.readouterr().err
    assert " 50%|" in said and "rate epoch 1/2" in said
    say("rate: no news")
    assert " 50%|" in capsys.readouterr().err
    say("rate: 2 members in 1.0 s", 1.0)
    assert capsys.readouterr().err.rstrip(" ").endswith("| rate: 2 members in 1.0 s\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert chosen() is not silent and chosen(False) is silent and chosen(print) is print


def test_a_notebook_gets_a_bar(monkeypatch):
    from cortseq.models.progress import chosen, silent

    assert chosen() is silent
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    assert chosen() is not silent
