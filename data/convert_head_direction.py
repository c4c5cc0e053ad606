"""Make wake.npz of the study `head_direction` from dataHD.mat of PeyracheLab/Class-Decoding at 0d62109.

    python data/convert_head_direction.py dataHD.mat data/raw/wake.npz

The repository describes the file: `Qrun` (bin, neuron) spikes per bin of 10 ms, `angRun` (bin, 2) time and
head direction in the same bins. The script was tried on made-up files only. Peyrache et al. 2015 Nat
Neurosci 18:569; no licence stated: use, do not redistribute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.sparse import issparse


def convert(recording: Path, out: Path) -> tuple[int, int]:
    """Write `counts` (bin, neuron), `time` (bin,) s and `head_direction` (bin,) rad; return the shape."""
    content = loadmat(recording, variable_names=["Qrun", "angRun"])
    stored, angle = content["Qrun"], np.asarray(content["angRun"], float)
    spikes = stored.toarray() if issparse(stored) else np.asarray(stored)
    counts = spikes.astype(np.uint8)
    if (counts != spikes).any() or len(counts) != len(angle):
        raise SystemExit(
            f"Qrun {spikes.shape} and angRun {angle.shape} are not counts and angles of the same bins"
        )
    direction = angle[:, 1].astype(np.float32)
    np.savez_compressed(out, counts=counts, time=angle[:, 0], head_direction=direction)
    return counts.shape


if __name__ == "__main__":
    sys.stdout.write("{} bins x {} neurons\n".format(*convert(Path(sys.argv[1]), Path(sys.argv[2]))))
