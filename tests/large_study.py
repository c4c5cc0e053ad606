"""A recording of 1,000 units for hours, from its file to the comparison: seconds and peak memory of each stage.

`python tests/large_study.py FOLDER [TRIALS]` writes the file there (3,600 trials of 2 s unless said), runs the
study and prints the table of docs/scale.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
N_UNITS, BIN_MS, TRIAL_S = 1000, 5, 2.0
N_TRIALS = 3600  # 2 h
STATE_S = 0.2  # how long the population stays in one of four states
_AT_ONCE = 1000  # states whose spikes are drawn at once
STUDY = """
study: large
seed: 1
members: 1
datasets:
  big: {{source: npz, path: {file}, spike_times: times, spike_units: units, bin_ms: {bin}, window_ms: {window}}}
models:
  markov: {{family: markov, states: 16}}
  rate: {{family: rate, hidden: 16, epochs: 1}}
"""


def write(file: Path, n_trials: int) -> int:
    """Write the spikes of units at a few Hz that follow a shared state; return how many there are."""
    rng = np.random.default_rng(0)
    rate, gain = rng.gamma(2.0, 1.5, N_UNITS), rng.normal(0, 0.7, (4, N_UNITS))
    states = rng.integers(0, 4, round(n_trials * TRIAL_S / STATE_S))
    times, units = [np.zeros(1)], [np.zeros(1, np.uint16)]
    for first in range(0, len(states), _AT_ONCE):
        drawn = rng.poisson(rate * np.exp(gain[states[first : first + _AT_ONCE]]) * STATE_S)
        state, unit = np.nonzero(drawn)
        state, unit = (np.repeat(index, drawn[state, unit]) for index in (state, unit))
        when = (first + state + rng.random(len(state))) * STATE_S
        order = np.argsort(when)
        times.append(when[order])
        units.append(unit[order].astype(np.uint16))
    times.append(np.full(1, n_trials * TRIAL_S))
    units.append(np.zeros(1, np.uint16))
    np.savez(file, times=np.concatenate(times), units=np.concatenate(units))
    return sum(map(len, times))


def study(folder: Path, n_trials: int) -> Path:
    """Write the recording and the study into `folder`; return the file of the study."""
    n_spikes = write(folder / "big.npz", n_trials)
    sys.stdout.write(f"{n_trials} trials, {n_spikes} spikes\n")
    file = folder / "study.yaml"
    file.write_text(STUDY.format(file=folder / "big.npz", bin=BIN_MS, window=1e3 * TRIAL_S))
    return file


def run(folder: Path, file: Path) -> dict[str, int]:
    """Run the study to its comparison in `folder`; return the peak of each process in MB, by its script.

    The scheduler is called "snakemake". Peaks are those that the system keeps (VmHWM), asked for ten times
    a second.
    """
    target = "results/large/comparison.csv"
    command = ["snakemake", "--cores", "1", "--directory", str(folder), "--configfile", str(file)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--snakefile", str(ROOT / "Snakefile"), "--", target],
            stdout=log, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, "CORTSEQ_MIRRORS": ""},
        )  # fmt: skip
        peaks: dict[str, int] = {}
        while process.poll() is None:
            for number in [process.pid, *_children(process.pid)]:
                name, peak = _peak(number)
                if name:
                    peaks[name] = max(peaks.get(name, 0), peak)
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text()[-2000:])
    return peaks


def _children(number: int) -> list[int]:
    """Return the processes below one, however deep."""
    below = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(task.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        below.append((int(task.parent.name), parent))
    found, level = [], {number}
    while level:
        level = {child for child, parent in below if parent in level}
        found += sorted(level)
    return found


def _peak(number: int) -> tuple[str, int]:
    """Return the script of a process and its peak in MB; "" of one that is gone or no Python of the study."""
    try:
        words = Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ")
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{number}/status").read_text())
    except OSError:
        return "", 0
    script = re.search(r"scripts/tmp\w*\.(\w+)\.py", words)
    name = script[1] if script else "snakemake" if "-m snakemake" in words else ""
    return (name, int(peak[1]) // 1000) if peak and "python" in words else ("", 0)


def steps(folder: Path) -> dict[str, tuple[int, float]]:
    """Return the peak in MB and the seconds of processor time of each step that a job noted, by its name."""
    made, found = folder / "results/large/made", {}
    for note in sorted(made.rglob("*.json")):
        known = json.loads(note.read_text())
        name = str(note.relative_to(made).with_suffix(""))
        found[name] = known["peak_memory_mb"], known["cpu_seconds"]
    return found


def table(folder: Path, peaks: dict[str, int], n_trials: int) -> str:
    """Return the lines of the table in docs/scale.md."""
    cells = n_trials * N_UNITS * TRIAL_S * 1e3 / BIN_MS
    lines = [f"{n_trials} trials, {cells:.3g} bins", "| process or step | peak, MB | s |", "|---|---:|---:|"]
    lines += [f"| {name} | {peak} |  |" for name, peak in sorted(peaks.items())]
    lines += [f"| {name} | {peak} | {seconds:.0f} |" for name, (peak, seconds) in steps(folder).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    home, trials = Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else N_TRIALS
    home.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(table(home, run(home, study(home, trials)), trials) + "\n")
