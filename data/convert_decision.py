"""Make a session as the study `decision` reads it from its folder in figshare 9598406.

    python data/convert_decision.py Cori_2016-12-14 data/raw/session01.npz
    python data/convert_decision.py Forssmann_2017-11-01 data/raw/session04.npz

The folders hold .npy files in the ALF layout. The shipped study was made with a course's extract of these
sessions, whose choice of trials and units is not documented: this script keeps trials of `trials.included`
and clusters with `_phy_annotation` of at least 2. Its file is another one: replace `sha256` in the study by
what is printed. It was tried on made-up folders only. Steinmetz et al. 2019 Nature 576:266, CC BY 4.0.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

import numpy as np

BIN, N_BINS = 0.01, 40  # s after the stimulus


def column(folder: Path, name: str) -> np.ndarray:
    """Return the values of one ALF file, (row,)."""
    return np.load(folder / f"{name}.npy", allow_pickle=False).squeeze()


def counted(times: np.ndarray, units: np.ndarray, starts: np.ndarray, n_units: int) -> np.ndarray:
    """Return spikes per bin, (trial, unit, bin), of spikes (spike,) in s and units (spike,)."""
    counts = np.zeros((len(starts), n_units, N_BINS), np.uint8)
    order = np.argsort(times, kind="stable")
    times, units = times[order], units[order]
    for trial, start in enumerate(starts):
        first, last = np.searchsorted(times, [start, start + N_BINS * BIN])
        place = np.minimum(((times[first:last] - start) / BIN).astype(int), N_BINS - 1)
        np.add.at(counts, (trial, units[first:last], place), 1)
    return counts


def convert(folder: Path, out: Path) -> tuple[int, int, int]:
    """Write the session; return its number of trials, units and bins."""
    included = column(folder, "trials.included").astype(bool)
    kept = np.flatnonzero(column(folder, "clusters._phy_annotation") >= 2)
    place = np.full(int(max(kept.max(), column(folder, "spikes.clusters").max())) + 1, -1)
    place[kept] = np.arange(len(kept))
    units = place[column(folder, "spikes.clusters").astype(int)]
    times = column(folder, "spikes.times")[units >= 0]
    starts = column(folder, "trials.visualStim_times")[included]
    with (folder / "channels.brainLocation.tsv").open(encoding="utf-8", newline="") as file:
        areas = [row["allen_ontology"] for row in csv.DictReader(file, delimiter="\t")]
    channel = column(folder, "clusters.peakChannel").astype(int)[kept] - 1  # numbered from 1
    counts = counted(times, units[units >= 0], starts, len(kept))
    mouse, _, date = folder.resolve().name.rpartition("_")
    content = {
        "spikes": counts, "brain_area": np.array(areas)[channel], "t0": starts, "bin_s": BIN,
        "contrast_left": column(folder, "trials.visualStim_contrastLeft")[included],
        "contrast_right": column(folder, "trials.visualStim_contrastRight")[included],
        "feedback": column(folder, "trials.feedbackType")[included], "mouse": mouse, "date": date,
    }  # fmt: skip
    np.savez_compressed(out, **content)
    return counts.shape


if __name__ == "__main__":
    target = Path(sys.argv[2])
    sys.stdout.write("{} trials x {} units x {} bins\n".format(*convert(Path(sys.argv[1]), target)))
    sys.stdout.write(f"sha256: {hashlib.sha256(target.read_bytes()).hexdigest()}\n")
