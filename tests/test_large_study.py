"""Two hours of 1,000 units in bins of 5 ms are compared in less than 4 GB a process; see docs/scale.md."""

import shutil

import large_study
import pandas as pd
import pytest

MEGABYTES = 4000
DISK = 20e9  # bytes: predictions of test trials, and what is written before it is packed
STAGES = {"load", "preprocess", "split", "batch", "compare", "snakemake"}


def compared(folder, n_trials):
    peaks = large_study.run(folder, large_study.study(folder, n_trials))
    print(large_study.table(folder, peaks, n_trials))
    assert set(peaks) == STAGES
    assert max(peaks.values()) < MEGABYTES, peaks
    found = pd.read_csv(folder / "results/large/comparison.csv", keep_default_na=False)
    assert set(found["model"]) == {"null", "markov", "rate"}
    return found


@pytest.mark.slow
def test_two_hours_of_a_thousand_units(tmp_path):
    if shutil.disk_usage(tmp_path).free < DISK:
        pytest.skip("the disk has too little free space")
    found = compared(tmp_path, large_study.N_TRIALS).set_index("model")
    assert float(found.loc["markov", "value"]) > 0.01  # the population has states, and the chain finds them


@pytest.mark.slow
def test_a_twentieth_of_it(tmp_path):
    """The same in minutes: most blocks of it are full, too."""
    compared(tmp_path, large_study.N_TRIALS // 20)
