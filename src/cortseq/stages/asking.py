"""What a scheduler is asked for: memory and time of a job, by laws of cost, recordings and attempt.

A job that was killed because it asked for too little is started again by Snakemake (`retries` of a profile)
and asks for twice as much.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

from cortseq import memory, store
from cortseq.stages import holding, work
from cortseq.stages.plan import USUAL, Plan
from cortseq.steps import Batch

_SLOWER = 4.0  # the laws hold within a factor of 2, and a node may be half as fast as their machine
_LEAST_MINUTES = 15  # imports from a busy shared disk take minutes
_MORE = 1.5  # of the law of memory
_SNAKEMAKE_MB = 600  # of the two processes of Snakemake that a cluster runs around a script
_USUAL_CELLS = (USUAL["train"] + USUAL["valid"] + USUAL["test"]) * USUAL["bins"] * USUAL["features"]


def memory_mb(plan: Plan, batch: Batch, attempt: int = 1) -> int:
    """Return the memory of a job of steps in MB, rounded up to 100.

    Parameters
    ----------
    plan : which has the costs of all steps.
    batch : its steps.
    attempt : 1, 2, ...; each asks for twice as much as the one before.
    """
    kinds = {kind for step in batch.steps for kind in plan.costs[step.name]}
    start = "start/network" if any(map(work.uses_torch, kinds)) else "start"
    asked = _MORE * holding.memory_mb(start, kinds, _cells(batch)) + _SNAKEMAKE_MB
    return math.ceil(asked * 2 ** (attempt - 1) / 100) * 100


def minutes(batch: Batch, attempt: int = 1) -> int:
    """Return the time of a job of steps in minutes; `attempt` as of `memory_mb`.

    The steps' own seconds are those of recordings of usual size; larger ones take longer in proportion.
    """
    larger = max(1.0, _cells(batch) / _USUAL_CELLS)
    asked = _LEAST_MINUTES + _SLOWER * larger * sum(step.seconds for step in batch.steps) / 60
    return math.ceil(asked) * 2 ** (attempt - 1)


def reading_mb(attempt: int = 1) -> int:
    """Return the memory in MB of a job that loads, cuts, splits or compares recordings."""
    return (memory.limit_mb() + _SNAKEMAKE_MB) * 2 ** (attempt - 1)


def _cells(batch: Batch) -> float:
    """Return the bins times features of the largest recording that a job reads, 0 before it is there."""
    trials = (Path(file) for file in batch.inputs if f"{batch.steps[0].out}/trials/" in file)
    return max((_counted(file, file.stat().st_mtime_ns) for file in trials if file.is_file()), default=0.0)


@functools.lru_cache(maxsize=1000)
def _counted(file: Path, date: int) -> float:
    return 0.0 if store.failure(file) else float(store.cells(file))
