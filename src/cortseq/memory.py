"""What one job may hold in memory: sizes are added up from headers before an array is made."""

from __future__ import annotations

import os

from cortseq.errors import CortseqError

VARIABLE = "CORTSEQ_MEMORY_MB"
DEFAULT_MB = 4000  # what the workflow asks a scheduler for, to load, cut and split one recording


def limit_mb() -> int:
    """Return the memory of one job in MB: the variable CORTSEQ_MEMORY_MB, or 4000."""
    given = os.environ.get(VARIABLE, "")
    if given and not (given.isascii() and given.isdigit() and int(given) > 0):
        raise CortseqError("must be a whole number of MB", key=VARIABLE, value=given, fix="unset it")
    return int(given) if given else DEFAULT_MB


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
