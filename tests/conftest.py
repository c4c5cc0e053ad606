"""Shared small recordings."""

import os
from pathlib import Path

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq.observations import TRACKS, names

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def counts():
    """Two alternating population states, 40 trials x 16 bins x 3 units."""
    rng = np.random.default_rng(0)
    phase = (np.arange(16)[None] // 4 + rng.integers(0, 2, (40, 1))) % 2
    rates = np.where(phase[..., None] == 1, [2.0, 0.2, 1.0], [0.2, 2.0, 0.5])
    return rec.from_counts(rng.poisson(rates), bin_width=0.02)


@pytest.fixture(scope="session")
def symbols():
    """Sequences of unequal length over three labels: mostly cyclic."""
    rng = np.random.default_rng(1)
    sequences = []
    for length in rng.integers(5, 15, 40):
        steps = np.where(rng.random(length) < 0.9, 1, 2)
        sequences.append((rng.integers(3) + steps.cumsum()) % 3)
    return rec.from_symbols(sequences, n_symbols=3)


@pytest.fixture(scope="session")
def signal():
    """Two noisy oscillating channels."""
    rng = np.random.default_rng(2)
    t = np.arange(20)[None] * 0.6 + rng.uniform(0, 6, (30, 1))
    y = np.stack([5 + 2 * np.sin(t), -1 + np.cos(t)], -1) + rng.normal(0, 0.2, (30, 20, 2))
    return rec.from_signal(y, bin_width=0.6)


@pytest.fixture(scope="session")
def negative_binomial(counts):
    """The same two states; counts vary more than their mean."""
    rng = np.random.default_rng(3)
    gain = rng.gamma(1.5, 1 / 1.5, counts["counts"].shape)
    y = rng.poisson(gain * (0.3 + counts["counts"].values))
    return rec.from_counts(y, bin_width=0.02, observation="negative_binomial")


@pytest.fixture(scope="session")
def conway_maxwell(counts):
    """The same two states; counts vary less than their mean."""
    y = np.random.default_rng(4).binomial(counts["counts"].values + 1, 0.8)
    return rec.from_counts(y, bin_width=0.02, observation="conway_maxwell")


@pytest.fixture(scope="session")
def counts_under(counts, negative_binomial, conway_maxwell):
    """A function from a distribution of counts to a small recording under it."""
    own = {"poisson": counts, "negative_binomial": negative_binomial, "conway_maxwell": conway_maxwell}
    return lambda name: own[name] if name in own else rec.with_observation(counts, name)


@pytest.fixture(params=[(track, name) for track in TRACKS for name in names(track)], ids="-".join)
def any_recording(request, counts_under):
    """A small recording under every distribution there is; one without a fixture of its own takes the counts."""
    track, observation = request.param
    if track == "counts":
        return counts_under(observation)
    found = request.getfixturevalue(track)
    return found if observation == TRACKS[track].default else rec.with_observation(found, observation)


@pytest.fixture
def headed_recording(any_recording):
    """`any_recording` where the compiled engine has a head for its distribution; the others run the generic engine."""
    from cortseq.networks.training.kernels import heads

    if rec.observation(any_recording) not in heads.OBSERVATIONS:
        pytest.skip("no compiled head")
    return any_recording


@pytest.fixture(scope="session")
def mirror():
    """Folder with the real recordings; the test skips where there is none."""
    for folder in os.environ.get("CORTSEQ_MIRRORS", "").split(":"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    pytest.skip("no real recordings here: set CORTSEQ_MIRRORS to a folder that has them")
