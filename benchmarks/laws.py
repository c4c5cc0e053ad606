"""How cost grows: log-log slopes of time against bins and units, of memory against bins.

Memory is the growth of the peak of resident memory (Linux: VmHWM, reset before) during one training step of
the generic execution, each point in a process of its own; data and parameters are there before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Law, in_turns
from benchmarks.training import problem
from cortseq.timing import law

BINS = [256, 512, 1024, 2048, 4096]
UNITS = [256, 384, 512, 768, 1024]
MEMORY_BINS = [256, 512, 1024, 2048]
WARM_BINS = 128
MODES: dict[str, dict] = {
    "full BPTT": {},
    "truncated BPTT, 64 bins": {"truncate": 64},
    "checkpointed BPTT": {"checkpointed": True},
}
_HIGH = Path("/proc/self/clear_refs")


def laws() -> Iterator[Law]:
    """Time, then memory where the system can tell its peak."""
    yield law("time against bins, rate N=50 H=64 batch 32", BINS, _times([(64, n) for n in BINS]))
    yield law("time against units, rate N=50 H=256..1024", UNITS, _times([(h, 64) for h in UNITS]))
    if not _HIGH.exists():
        return
    for mode in MODES:
        peaks = [_in_a_process(mode, n) for n in MEMORY_BINS]
        yield law(f"memory against bins, {mode}", MEMORY_BINS, peaks)


def unmeasured() -> list[str]:
    return [] if _HIGH.exists() else [f"memory against bins, {mode} (needs Linux)" for mode in MODES]


def _times(shapes: list[tuple[int, int]]) -> list[float]:
    from cortseq.networks.training.engines import stepper

    steps = []
    for hidden, n_time in shapes:
        model, params, data = problem("rate", {}, 50, hidden, 32, n_time)
        steps.append(stepper(model, params, data, "auto"))
        steps[-1]()
    return in_turns(steps)


def _in_a_process(mode: str, n_time: int) -> int:
    """Peak growth in bytes, measured in a fresh process."""
    given = [sys.executable, "-m", "benchmarks.laws", mode, str(n_time)]
    returned = {
        "MALLOC_MMAP_THRESHOLD_": "16384",
        "MALLOC_TRIM_THRESHOLD_": "0",
    }  # what is freed leaves at once
    done = subprocess.run(given, env={**os.environ, **returned}, capture_output=True, text=True, check=True)
    return int(done.stdout)


def peak_growth(mode: str, n_time: int) -> int:
    """Bytes that one step of the generic execution adds to the peak of this process."""
    import torch

    from cortseq.networks.training.engines import stepper

    torch.set_num_threads(1)

    def prepared(n_time: int):
        model, params, data = problem("rate", MODES[mode], 50, 128, 128, n_time)
        return stepper(model, params, data, "generic")

    prepared(WARM_BINS)()  # libraries take their own memory at their first call
    step = prepared(n_time)
    _HIGH.write_text("5")  # sets the peak to what is there now
    before = _status("VmHWM")
    step()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    """A line of /proc/self/status, kB, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key)))


if __name__ == "__main__":
    print(peak_growth(sys.argv[1], int(sys.argv[2])))
