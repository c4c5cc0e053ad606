"""A fit to a large recording takes as much memory as its blocks, not as arrays of all bins; see docs/scale.md."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq import store

N_TRIALS, N_TIME, N_UNITS = 600, 200, 60
ARRAY_MB = N_TRIALS * N_TIME * N_UNITS * 8 / 1e6  # 58: of one array of all bins in double precision
# A design matrix of two filters, and the same in its eigenbasis, were four such arrays; the features of a
# hidden Markov model and what k-means saw were five.
MODELS = {"glm": {"history": 2}, "hmm": {"states": 4, "iterations": 5}, "flat": {}}
CHILD = """
import sys
from pathlib import Path
import numpy as np
from cortseq import models, store

def peak():  # not ru_maxrss: that is never less than what the parent held when it forked
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3

family, settings = sys.argv[2], eval(sys.argv[3])
few = store.read(sys.argv[1]).isel(trial=range(40))
models.find(family)(**settings).fit(few, range(30), range(30, 40))  # imports, and compiles what there is
before = peak()
recording = store.read(sys.argv[1])
fit = models.find(family)(**settings).fit(recording, range(500), range(500, 600))
assert np.isfinite(fit.log_prob(recording, range(500, 600))).all()
print("PEAK", peak() - before)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The file of a recording whose units follow three states."""
    rng = np.random.default_rng(0)
    states = rng.integers(0, 3, (N_TRIALS, N_TIME // 10)).repeat(10, 1)
    rates = rng.gamma(1.0, 0.1, (3, N_UNITS))
    file = tmp_path_factory.mktemp("large") / "large.zarr.zip"
    counts = np.stack([rng.poisson(rates[trial]) for trial in states])
    store.write(rec.from_counts(counts, bin_width=0.005), file)
    return file


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
@pytest.mark.parametrize("family", MODELS)
def test_a_fit_takes_less_than_two_arrays_of_all_bins(recording, family):
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(recording), family, str(MODELS[family])],
        capture_output=True, text=True, check=False, env={**os.environ, "CORTSEQ_BLOCK_MB": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert float(found.stdout.rpartition("PEAK ")[2]) < 2 * ARRAY_MB
