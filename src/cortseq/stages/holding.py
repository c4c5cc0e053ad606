"""How much memory a job takes, by the laws of its steps and the size of the recording (docs/scale.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortseq import costs, memory
from cortseq.stages import work
from cortseq.stages.plan import Plan


def most(plan: Plan) -> dict[str, float]:
    """Return the most MB that fits of a family hold beside counts and blocks, by their law."""
    found: dict[str, float] = {}
    for dataset in plan.sizes:
        for variant in plan.variants[dataset].values():
            kind, held = f"fit/{variant.model.family}", variant.model.held_mb(plan.size(dataset))
            found[kind] = max(found.get(kind, 0.0), held)
    return found


def memory_mb(start: str, kinds: Iterable[str], cells: float, held: float = 0.0) -> float:
    """Return about how many MB a job takes at most.

    Parameters
    ----------
    start : law of its start, which says what is imported.
    kinds : laws of its steps.
    cells : bins times features of the recording.
    held : MB of a fit beside counts and blocks of trials.
    """
    known = costs.measured()["memory_mb"]
    whole = known["array"] * cells * 8 / 1e6 + held
    if not all(map(work.in_blocks, kinds)):
        return float(known[start] + whole)
    block = known["array"] * memory.block_numbers() * 8 / 1e6
    return float(known[start] + min(whole, block + memory.HELD * cells / 1e6 + held))


def line(families: Sequence[str], megabytes: float) -> str:
    """Return a warning of families that hold all of a large recording to learn, so many MB each."""
    return (
        f"memory: to learn, {', '.join(families)} hold all of the recording, about {megabytes / 1e3:.0f} GB "
        "each; on a machine that has less, their rows of the comparison say so -- leave them out"
    )
