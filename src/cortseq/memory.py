"""What one job may hold in memory: sizes are added up from headers before an array is made.

A recording that is larger than a block is never held as a whole in double precision: whoever computes with it
takes some trials at a time. The blocks change no product; of a recording that fits into one they change
nothing at all.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from cortseq.errors import CortseqError

VARIABLE = "CORTSEQ_MEMORY_MB"
DEFAULT_MB = 4000  # what the workflow asks a scheduler for, to load, cut and split one recording
HELD = 1.5  # bytes of a bin of counts that are held at most, for learning (docs/scale.md)
WHOLE = 48.0  # bytes of a bin of a unit that a family takes at least which does not learn in blocks
_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
BLOCK_VARIABLE = "CORTSEQ_BLOCK_MB"
BLOCK_MB = 64.0  # of one array of a block of trials in double precision; a few of them are held at once


def limit_mb() -> int:
    """Return the memory of one job in MB: the variable CORTSEQ_MEMORY_MB, or 4000."""
    given = os.environ.get(VARIABLE, "")
    if given and not (given.isascii() and given.isdigit() and int(given) > 0):
        raise CortseqError("must be a whole number of MB", key=VARIABLE, value=given, fix="unset it")
    return int(given) if given else DEFAULT_MB


def machine_mb() -> float:
    """Return the MB of this machine, or what a scheduler or a container gives of them; inf: unknown."""
    known = [math.inf]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6)
    for file in _GROUPS:
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            known.append(int(file.read_text(encoding="ascii")) / 1e6)
    with contextlib.suppress(ValueError):
        known.append(float(os.environ.get("SLURM_MEM_PER_NODE", "") or math.inf))
    return min(size for size in known if size > 0)


def learnable_whole(n_numbers: float, family: str) -> None:
    """Raise a CortseqError where a family that does not learn in blocks needs more than this machine has.

    Parameters
    ----------
    n_numbers : observations of the training and validation trials.
    family : its name.
    """
    needed = WHOLE * n_numbers / 1e6
    if n_numbers > block_numbers() and needed > machine_mb():
        raise CortseqError(
            f"{family} holds all training and validation trials in double precision: about "
            f"{needed / 1e3:.3g} GB, and this machine has {machine_mb() / 1e3:.3g} GB",
            key="family",
            value=family,
            fix="leave it out, or give the recording fewer units or trials",
        )


def block_numbers() -> int:
    """Return how many numbers an array of a block has: CORTSEQ_BLOCK_MB in double precision, or 64 MB."""
    given = os.environ.get(BLOCK_VARIABLE, "")
    try:
        megabytes = float(given or BLOCK_MB)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes < math.inf:
        raise CortseqError("must be a number of MB above 0", key=BLOCK_VARIABLE, value=given, fix="unset it")
    return max(1, int(megabytes * 1e6 / 8))


def blocks(n_trials: int, per_trial: float) -> list[slice]:
    """Return consecutive blocks of trials, each of at most as many numbers as a block has.

    Parameters
    ----------
    n_trials : how many trials there are.
    per_trial : numbers of one trial; a trial is never divided.
    """
    size = max(1, int(block_numbers() // max(per_trial, 1)))
    return [slice(first, min(first + size, n_trials)) for first in range(0, n_trials, size)] or [slice(0, 0)]


def affordable(
    n_bytes: float, what: str, *, file: object = None, key: str | None = None, fix: str = ""
) -> None:
    """Raise a CortseqError where an array of `n_bytes` does not fit the memory of a job.

    Parameters
    ----------
    n_bytes : size of what is about to be allocated.
    what : the sum in words, such as "40 trials x 100000 bins x 30 units".
    file, key : where the fault lies.
    fix : what to do, before the variable that raises the limit is named.
    """
    if n_bytes > limit_mb() * 1e6:
        raise CortseqError(
            f"{what} needs {n_bytes / 1e9:.3g} GB, a job has {limit_mb() / 1e3:g} GB",
            file=file,
            key=key,
            fix=f"{fix}{', or ' if fix else ''}set {VARIABLE} to more MB",
        )
